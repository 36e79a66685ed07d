"""Parts around every page: links, contrast, and the browser's history.

Streamlit folds the links of a narrow window into the sidebar, and it places the sidebar before them in the document.

The browser's history has an entry for each page, and for each view of a page. Streamlit replaces the entry when a
visitor changes a field that is in the address. It adds one for each correction that the page itself makes afterwards.
Back would skip the visitor's own steps and repeat the corrections. Streamlit has no setting for either, so that a
script in the page decides.
"""

import json
from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage

ROW = "navigation"  # key, which Streamlit turns into a CSS class
FOLDED = 768  # px; Streamlit folds its links in narrower windows
CSS = f"""
<style>
@media (min-width: {FOLDED}px) {{ [data-testid="stLayoutWrapper"]:has(> .st-key-{ROW}) {{ display: none; }} }}
@media (min-width: {FOLDED}px) {{ [data-testid="stMainBlockContainer"] {{ padding: 4.25rem 2.5rem 3rem; }} }}
[data-testid="stMainBlockContainer"] h1 {{ padding: 0; }}
[data-testid="stMainBlockContainer"] > [data-testid="stVerticalBlock"] > :is(
  [data-testid="stElementContainer"]:has(> [data-testid="stHtml"]),
  [data-testid="stLayoutWrapper"]:has(> [data-testid="stVerticalBlock"]:empty)
) {{ display: none; }}
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
