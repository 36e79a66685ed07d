"""Explore's finding at the chosen amount: a headline with the way to the file, and the whole answer below the chart."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pandas as pd
import streamlit as st

from core.findings.best import answer as words
from core.findings.curve import Smaller, answer_at, headline_at, smaller_at
from core.findings.numbers.differences import NUMBER
from core.findings.numbers.reporting import UNADJUSTED, interval_words, ratio_words
from core.findings.pairs import paired
from core.findings.rows import points
from core.findings.rows.other_texts import times_dense
from core.results import Result
from dashboard import data
from dashboard.explore.curve_data import Shown
from dashboard.explore.saving import Offer, offer_file
from dashboard.shared import links, widgets
from dashboard.shared.literal import literal
from dashboard.shared.pickers import AT, AXIS, BY_SIZE, FAMILIES, SHOWN, TEXT


def show_headline(shown: Shown, drawn: pd.DataFrame, best: words.Best, at: str) -> Smaller | None:
    """Show the best of the drawn points at an amount as the page's title, and return a smaller and better variant."""
    chosen = shown.chosen
    st.title(headline_at(shown.dense, drawn, best, at, shown.perplexities), anchor=False)
    point = drawn[drawn["key"] == best.overall]
    pair = paired.of_points(shown.perplexities, point).iloc[0]
    interval = interval_words(pair["ratio_low"], pair["ratio_high"], ratio_words)
    known = [f"best of {len(best.kinds)}", *([f"{UNADJUSTED} {interval}"] if interval else [])]
    found = smaller_at(chosen, shown.dense, data.frame(chosen.model), best, data, literal)
    with offers(known, best.overall):
        if found is not None:
            links.show("explore", found.label, "compare", _by_size(shown, found, at))
    return found


@contextmanager
def offers(known: Sequence[str], key: str | None, find: Callable[[Result], Offer] = Offer) -> Iterator[None]:
    """Show what is `known` of a winner, and buttons to its file and command in one line, with those of the block.

    `find` returns the file to write for the winner.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(f":small[{literal(' · '.join(known))}]", width="content")
        if key is not None and (result := data.result(key)) and not result.variant.is_external:
            offer_file("explore_best", partial(find, result), plain=True)
            with st.popover("Copy command", icon=":material/terminal:", type="tertiary"):
                widgets.show_command(result)
        yield
        links.show("about", "Tour", "tour")


def _by_size(shown: Shown, found: Smaller, at: str) -> links.Address:
    """Return the address that compares the winners with a smaller and better variant by packed size."""
    chosen = shown.chosen
    address = links.shown(found.rows, st.session_state[TEXT])
    del address[SHOWN]  # all methods of these families
    families = points.among(chosen.measured, "method", chosen.methods)["family"]
    there = [one.capitalize() for one in dict.fromkeys((*families, *found.families))]
    return address | {FAMILIES: there, AXIS: BY_SIZE, AT: at}


def show_answer(shown: Shown, drawn: pd.DataFrame, best: words.Best, at: str, smaller: Smaller | None) -> None:
    """Show the best of the drawn points at an amount, with ties and accuracy, and a smaller and better variant."""
    given = best, at, shown.perplexities, shown.scored
    st.markdown(answer_at(shown.chosen, shown.dense, drawn, *given, data, literal))
    if smaller is not None:
        st.markdown(smaller.sentence)


def show_elsewhere(here: pd.DataFrame) -> None:
    """Show the points at an amount that were measured on other texts, each as a multiple of dense on its text."""
    if here.empty:
        return
    winners = []
    for _, one in times_dense(here, here["dense_value"]).iterrows():
        found = data.paired([(one["key"],)], one["dense_key"], [tuple(one[list(NUMBER)])])
        winners.append(words.Winner(one, paired.of_points(found, one.to_frame().T).iloc[0]))
    st.markdown(words.elsewhere(winners, literal))
