"""The filters of documents: fields whose values are in the address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.inside.documents import BOTH_RIGHT, BOTH_WRONG, DIRECTIONS, FLIPS, OTHER_WRONG, TO_RIGHT, TO_WRONG
from core.findings.sharing import shared
from dashboard.inside.documents.compared import ALL
from dashboard.shared.binding import BOUND, Between, check_link

TASK, DIRECTION, CHANGE = "inside_doc_task", "inside_doc_direction", "inside_doc_change"  # keys
NARROWEST, MOST_NATS, STEP = 200, 1000.0, 0.5  # px of a field; nats
GROUPS = {
    "Flips": FLIPS,
    "Right to wrong": (TO_WRONG,),
    "Wrong to right": (TO_RIGHT,),
    "Both right": (BOTH_RIGHT,),
    "Both wrong": (BOTH_WRONG, OTHER_WRONG),
    "Both wrong, choice changed": (OTHER_WRONG,),
    "All documents": DIRECTIONS,
}


class Filters(NamedTuple):
    """The values of the filters."""

    task: str  # its label, or `ALL`
    group: str  # of `GROUPS`
    change: float  # nats

    def describe(self) -> str:
        """Return the group and the least change for a caption: `flips whose margin changed by at least 2 nats`."""
        group = self.group.lower()
        return f"{group} whose margin changed by at least {self.change:g} nats" if self.change else group


def pick_filters(tasks: Sequence[str]) -> Filters:
    """Show the fields of the filters; `tasks` are the labels of the tasks."""
    options = [*tasks, *([ALL] if len(tasks) > 1 else [])]
    check_link(TASK, "task", options)
    check_link(DIRECTION, "direction", GROUPS)
    check_link(CHANGE, "change", Between(0, MOST_NATS))
    with st.grid(3, min_column_width=NARROWEST):
        task = st.selectbox("Task", options, key=TASK, **BOUND)
        group = st.selectbox(
            "Direction", list(GROUPS), key=DIRECTION, help="Flips are both right to wrong and wrong to right.", **BOUND
        )
        change = st.number_input(
            "Least change of margin (nats)",
            0.0,
            MOST_NATS,
            0.0,
            STEP,
            "%g",
            key=CHANGE,
            help="Hides documents whose margin changed by less, up or down. A large change is a confident one.",
            **BOUND,
        )
    return Filters(task, group, change)


@shared
def filtered(documents: pd.DataFrame, group: str, change: float) -> pd.DataFrame:
    """Return the documents of a group whose margin changed enough, the largest change first."""
    rows = documents[documents["direction"].isin(GROUPS[group])]
    size = rows["margin_change"].abs()
    size = size[size >= change] if change else size  # a change that is not finite stays without a filter
    return rows.loc[size.sort_values(ascending=False, kind="stable").index]
