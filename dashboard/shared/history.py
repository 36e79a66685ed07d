"""Entries in the browser's history: one for each page, and for each view of a page.

Streamlit replaces the entry when a visitor changes a field that is in the address. It adds one for each correction that
the page itself makes afterwards, such as for a field that has gone. Back would skip the visitor's own steps and repeat
the corrections. Streamlit has no setting for either, so that a script in the page decides.
"""

from __future__ import annotations

import json

import streamlit as st

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


def keep_steps() -> None:
    """Make each step of a visitor one entry of the browser's history."""
    st.html(SCRIPT.replace("STEPS", json.dumps(STEPS), 1), unsafe_allow_javascript=True)
