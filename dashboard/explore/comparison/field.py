"""The choice of two points to compare: a field in the address, ticks of a table and points of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.shared.binding import BOUND, check_named, keep_in_address

COMPARED = "explore_compared"  # key of the field and parameter of the address
TICKED = "explore_ticked_"  # session keys of the points chosen in a table or chart, in the order of their choice
PAIR = 2


def pick_pair(options: Mapping[str, str]) -> None:
    """Show the field of the two points to compare; `options` are their names, by key."""
    check_named(COMPARED, "point", options)
    st.multiselect(
        "Compare two points",
        list(options),
        format_func=options.__getitem__,
        max_selections=PAIR,
        key=COMPARED,
        on_change=keep_in_address,
        args=(COMPARED,),
        placeholder="Select two points, or tick two rows of a table",
        **BOUND,
    )


def chosen_pair() -> tuple[str, str] | None:
    """Return the keys of the two points to compare; None without two."""
    chosen: list[str] = st.session_state.get(COMPARED) or []
    return (chosen[0], chosen[1]) if len(chosen) == PAIR else None


def compare(one: str, other: str) -> None:
    """Compare two points with the next script run."""
    st.session_state[COMPARED] = [one, other]


def end_comparison() -> None:
    """Close the comparison with the next script run."""
    st.session_state[COMPARED] = []


def newly_ticked(name: str, keys: Sequence[str]) -> list[str]:
    """Return the point that was just chosen in a table or chart, after the one chosen before it, if any.

    Args:
        name: Key of the table or chart.
        keys: Keys of all points that are chosen there now.

    Returns:
        No key if a choice was removed.
    """
    before = [key for key in st.session_state.get(TICKED + name, ()) if key in keys]
    new = [key for key in keys if key not in before]
    st.session_state[TICKED + name] = [*before, *new]
    return [*before, *new][-PAIR:] if new else []
