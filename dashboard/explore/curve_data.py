"""The data of Explore's curve view, computed once for all sessions, and its answer at the chosen amount."""

from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.findings.axes import Axis
from core.findings.best import answer as words
from core.findings.curve import Scored, answer_at, differences_to_dense, score, smaller_at
from core.findings.numbers.differences import NUMBER, adjust_together
from core.findings.numbers.few import few_in
from core.findings.numbers.reporting import seeds_words
from core.findings.pairs import paired
from core.findings.pairs.comparison import comparison
from core.findings.rows import points
from core.findings.rows.other_texts import times_dense
from core.findings.sharing import shared
from dashboard import data
from dashboard.charts import curve
from dashboard.exports.pivots import of_means
from dashboard.shared import links
from dashboard.shared.literal import literal
from dashboard.shared.pickers import AXIS, BY_SIZE, FAMILIES, SHOWN, TEXT, Chosen


class Shown(NamedTuple):
    """The data of all charts."""

    chosen: Chosen
    dense: pd.DataFrame  # the dense model's point
    points: pd.DataFrame  # every point of the chosen methods
    highlighted: pd.DataFrame  # points of the highlighted series
    show_context: bool  # whether charts show the other series in grey
    perplexities: pd.DataFrame  # paired differences to dense of the highlighted series
    scored: Scored


class Described(NamedTuple):
    """The data of a chart or table, and its texts."""

    drawn: pd.DataFrame
    dense: pd.DataFrame  # the dense model's point, in the unit of those drawn
    caption: str
    table: pd.DataFrame  # for exports
    alt: str = ""
    explained: str = ""  # sentences on the marks of the chart


@shared  # the stored answers change only with the rows of the same variants
def shown_series(chosen: Chosen, dense: pd.DataFrame, found: pd.DataFrame, names: list[str], others: bool) -> Shown:
    """Return the data of the charts with these series highlighted."""
    highlighted = points.among(found, "series_label", names)
    differences = differences_to_dense(chosen.measured, names, data)
    return Shown(chosen, dense, found, highlighted, others, differences, score(chosen, names, data))


@shared
def curve_data(shown: Shown) -> Described:
    """Return the points of the curve with their hover texts, and the chart's caption, export and alternative text."""
    chosen, highlighted = shown.chosen, shown.highlighted
    caption = f"{chosen.model}, perplexity on {chosen.corpus_name}: {chosen.protocol_caption}"
    caption += points.describe_seeds(highlighted)
    drawn = shown.points if shown.show_context else highlighted
    best = drawn.iloc[int(drawn["value"].argmin())]
    alt = f"Perplexity of {chosen.model} against {chosen.axis.title.lower()}, a line for each of "
    lowest = f"{best['series_label']}, {best['amount_label']} ({best['value']:.4g})"
    alt += f"{', '.join(series_of(highlighted))}. Lowest: {lowest}."
    hovered = paired.of_curve(shown.perplexities, drawn)
    explained = curve.explained(highlighted, shown.dense)
    return Described(hovered, shown.dense, caption, points.with_dense(shown.dense, highlighted), alt, explained)


@shared
def multiples_data(shown: Shown, elsewhere: pd.DataFrame, names: list[str]) -> Described:
    """Return `curve_data` as multiples of dense, with the points `elsewhere` (`other_texts`) behind those of the curve.

    `names` are the highlighted series of both.
    """
    chosen, base = shown.chosen, float(shown.dense["value"].iloc[0])
    dense, own = times_dense(shown.dense, base), times_dense(shown.points, base)
    elsewhere = times_dense(elsewhere, elsewhere["dense_value"])
    highlighted = points.among(own, "series_label", series_of(shown.highlighted))
    others = points.among(elsewhere, "series_label", names)
    caption = f"{chosen.model}, perplexity divided by that of dense on the same text; solid markers: "
    caption += f"{chosen.corpus_name}, {chosen.protocol_caption}"
    caption += points.describe_seeds(highlighted)
    explained = " Hollow markers on dotted lines: other texts, precisions or data, which compare with the rest only by"
    explained += f" these multiples.{curve.explained(highlighted, dense)}"
    context = shown.show_context
    drawn = [paired.of_curve(shown.perplexities, own if context else highlighted), elsewhere if context else others]
    table = points.with_dense(dense, pd.concat([highlighted, others]))
    table = table.assign(times_dense=table["value"], value=table["perplexity"])
    alt = f"Perplexity of {chosen.model} as a multiple of dense against {chosen.axis.title.lower()}, a line for each "
    alt += f"of {', '.join([*series_of(highlighted), *series_of(others)])}."
    table = table.drop(columns=["low", "high", "perplexity", "dense_key", "dense_value", *NUMBER])
    return Described(pd.concat(drawn, ignore_index=True), dense, caption, table, alt, explained)


@shared
def drawn_points(found: pd.DataFrame, names: list[str], others: bool, axis: Axis) -> pd.DataFrame:
    """Return the points that the curve draws: those with a place on the axis, of these series or also of the others."""
    return (found if others else points.among(found, "series_label", names)).dropna(subset=axis.column)


@shared
def with_winners(found: pd.DataFrame, names: list[str], best: words.Best | None) -> list[str]:
    """Return the chosen series and those of the best points, in row order."""
    winners = found.loc[found["key"].isin(best.keys if best else []), "series_label"]
    return series_of(points.among(found, "series_label", [*names, *winners]))


@shared
def series_of(rows: pd.DataFrame) -> list[str]:
    """Return the names of the points' series in row order."""
    return list(rows["series_label"].unique())


@shared
def points_data(shown: Shown) -> Described:
    """Return the table of all points, with the mean accuracies for its export."""
    accuracies = adjust_together(paired.of_shown(shown.scored.mean_differences, shown.highlighted))
    table = comparison(shown.highlighted, shown.scored.means, shown.dense, shown.perplexities, accuracies)
    caption = f"{shown.chosen.model} on {shown.chosen.corpus_name}: {shown.chosen.protocol_caption}"
    caption += " Every point of the curve, compared with dense."
    if shown.perplexities["unpaired_reason"].isna().any() or accuracies["unpaired_reason"].isna().any():
        caption += " Intervals are of paired differences on the same windows or documents, without adjustment."
        caption += " Better and worse: at 5 %, by paired tests with Holm's correction over all points of the column."
    samples = pd.concat([shown.perplexities, accuracies])
    caption = " ".join(filter(None, (caption, seeds_words(samples), few_in(samples))))
    names = [*shown.dense["series_label"], *shown.highlighted["series_label"]]
    means = points.among(shown.scored.means, "series_label", names)
    return Described(table, shown.dense, caption, of_means(means))


def show_answer(shown: Shown, drawn: pd.DataFrame, best: words.Best, at: str) -> None:
    """Show the best of the drawn points at an amount, and a smaller and better variant of another family."""
    chosen, rows = shown.chosen, data.frame(shown.chosen.model)
    given = best, at, shown.perplexities, shown.scored
    st.markdown(answer_at(chosen, shown.dense, drawn, *given, data, literal))
    found = smaller_at(chosen, shown.dense, rows, best, data, literal)
    if found is None:
        return
    address = links.shown(found.rows, st.session_state[TEXT])
    del address[SHOWN]  # all methods of these families
    families = points.among(chosen.measured, "method", chosen.methods)["family"]
    there = [one.capitalize() for one in dict.fromkeys((*families, *found.families))]
    address |= {FAMILIES: there, AXIS: BY_SIZE, "explore_at": at}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(found.sentence, width="content")
        if not (chosen.axis.of_bits and set(found.families) <= set(chosen.measured["family"])):
            links.show("explore", "Compare by packed size", "compare", address)


def show_elsewhere(here: pd.DataFrame) -> None:
    """Show the points at an amount that were measured on other texts, each as a multiple of dense on its text."""
    if here.empty:
        return
    winners = []
    for _, one in times_dense(here, here["dense_value"]).iterrows():
        found = data.paired([(one["key"],)], one["dense_key"], [tuple(one[list(NUMBER)])])
        winners.append(words.Winner(one, paired.of_points(found, one.to_frame().T).iloc[0]))
    st.markdown(words.elsewhere(winners, literal))
