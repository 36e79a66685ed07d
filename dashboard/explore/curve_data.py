"""The data of Explore's curve view, computed once for all sessions, and its answer at the chosen amount."""

from typing import NamedTuple

import pandas as pd

from core.findings.axes import Axis
from core.findings.best.answer import Best
from core.findings.curve import Scored, differences_to_dense, score
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
from dashboard.shared.pickers import Chosen


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
    """Return `curve_data` as multiples of dense, with any points `elsewhere` (`other_texts`) behind those of the curve.

    `names` are the highlighted series of both.
    """
    chosen, base = shown.chosen, float(shown.dense["value"].iloc[0])
    dense, own = times_dense(shown.dense, base), paired.over_dense(shown.perplexities, shown.points, base)
    highlighted = points.among(own, "series_label", series_of(shown.highlighted))
    plain = paired.of_curve(shown.perplexities, own if shown.show_context else highlighted)
    explained = curve.explained(highlighted, dense, multiples=True)
    alt = f"Perplexity of {chosen.model} as a multiple of dense against {chosen.axis.title.lower()}, a line for each "
    alt += f"of {', '.join(series_of(highlighted))}."
    if elsewhere.empty:
        described = curve_data(shown)
        return described._replace(drawn=plain, dense=dense, alt=alt, explained=explained)
    elsewhere = times_dense(elsewhere, elsewhere["dense_value"])
    others = points.among(elsewhere, "series_label", names)
    caption = f"{chosen.model}, perplexity divided by that of dense on the same text; solid markers: "
    caption += f"{chosen.corpus_name}, {chosen.protocol_caption}"
    caption += points.describe_seeds(highlighted)
    hollow = " Hollow markers on dotted lines: other texts, precisions or data, which compare with the rest only by"
    hollow += " these multiples."
    drawn = pd.concat([plain, elsewhere if shown.show_context else others], ignore_index=True)
    table = points.with_dense(dense, pd.concat([highlighted, others]))
    table = table.assign(times_dense=table["value"], value=table["perplexity"])
    alt = f"{alt.removesuffix('.')}, {', '.join(series_of(others))}."
    table = table.drop(columns=["low", "high", "perplexity", "dense_key", "dense_value", *NUMBER])
    return Described(drawn, dense, caption, table, alt, hollow + explained)


@shared
def drawn_points(found: pd.DataFrame, names: list[str], others: bool, axis: Axis) -> pd.DataFrame:
    """Return the points that the curve draws: those with a place on the axis, of these series or also of the others."""
    return (found if others else points.among(found, "series_label", names)).dropna(subset=axis.column)


@shared
def with_winners(found: pd.DataFrame, names: list[str], best: Best | None) -> list[str]:
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
