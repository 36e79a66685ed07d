"""The comparison of two points: its field, ticks and panel, and the test of variants against the best of a table."""

from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd
import streamlit as st

from core.findings.numbers.differences import adjust_together
from core.findings.numbers.verdicts import SIGNIFICANT
from core.findings.pairs import paired
from core.findings.rows import points
from core.findings.within import numbers_of
from core.notation.chain import file_name
from core.results import Result
from dashboard import data
from dashboard.explore.panel import show_panel
from dashboard.exports.files import export_name, model_part
from dashboard.exports.pivots import SignificanceTest
from dashboard.shared import links, widgets
from dashboard.shared.binding import BOUND, check_named, keep_in_address, multiselect
from dashboard.shared.pair import pair_caption, show_differences, show_pair

COMPARED = "explore_compared"  # key of the field and parameter of the address
TICKED = "explore_ticked_"  # session keys of the points chosen in a table or chart, in the order of their choice
PAIR = 2


def significance_of_best(rows: pd.DataFrame) -> SignificanceTest:
    """Return a function that tests which variants differ significantly from the best of a table column.

    The column is the label of a task; with rows of one number, any text. Its tests are Holm-adjusted together.
    """

    @cache  # needed for every column, but only for exports
    def by_first() -> dict[str, tuple[str, ...]]:
        return points.seeds_of(rows)

    def distinguishable(column: str, best: str, others: Sequence[str]) -> dict[str, bool]:
        seeds = by_first()
        if len(seeds.get(best, ())) != 1:
            return {}  # several seeds have no single partner
        numbers = numbers_of(rows)
        found = data.paired([seeds[key] for key in others if key in seeds], best, numbers)
        found = found[found["verdict"].notna()]
        if len(numbers) > 1:
            found = found[paired.task_labels(found) == column]
        found = adjust_together(found)
        return dict(zip(found["key"], found["verdict"].isin(SIGNIFICANT), strict=True))

    return distinguishable


def pick_pair(options: Mapping[str, str]) -> None:
    """Show the field of the two points to compare; `options` are their names, by key."""
    check_named(COMPARED, "point", options)
    multiselect(
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


def compare(*pair: str) -> None:
    """Compare two points with the next script run; without any, close the comparison."""
    st.session_state[COMPARED] = list(pair)


def newly_ticked(name: str, keys: Sequence[str]) -> list[str]:
    """Return the point that was just chosen in a table or chart, by its key `name`, after the one chosen before it.

    `keys` are those of all points that are chosen there now. The result is empty if a choice was removed.
    """
    before = [key for key in st.session_state.get(TICKED + name, ()) if key in keys]
    new = [key for key in keys if key not in before]
    st.session_state[TICKED + name] = [*before, *new]
    return [*before, *new][-PAIR:] if new else []


def show_comparison(pair: tuple[str, str], found: pd.DataFrame) -> None:
    """Compare two points of `found` in the panel until the user closes it."""
    results = data.results(pair)
    if len(results) < len(pair):
        return  # one was deleted
    one, other = rows = [found[found["key"] == key].iloc[0] for key in pair]
    names = one["name"], other["name"]
    seeds = any(row["seeds"] > 1 for row in rows)
    show_panel(" and ".join(names), compare, _comparison, [results[key] for key in pair], names, seeds)


def _comparison(results: Sequence[Result], names: tuple[str, str], seeds: bool) -> None:
    first, second = (result.variant for result in results)
    pairs, model = data.paired([(first.key,)], second.key), data.called(first)
    file = export_name(model_part(model), file_name(first.stages), "and", file_name(second.stages))
    items = show_pair(pairs, names, model, file)
    caption = pair_caption(pairs, names, model)
    if seeds:
        caption += " Of points with several seeds: the first seed."
    items += show_differences(pairs, caption, f"{file}-table")
    address = links.compared([second.key, first.key], model)
    links.show("inside", "Compare up to four, with size, time and commands", "layers", address)
    widgets.export_page(file, lambda: items)
