"""What Explore's curve view is drawn from, computed once for all sessions: points, differences, captions."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from core.analysis.differences import adjust_together
from core.analysis.few import few_words
from core.data.texts import called
from dashboard.charts import curve, paired, points
from dashboard.charts.comparison import comparison
from dashboard.exports.pivots import of_means
from dashboard.panels.accuracy import Scored, score
from dashboard.panels.compare import differences_to_dense
from dashboard.panels.pickers import Chosen
from dashboard.sharing import shared


class Shown(NamedTuple):
    """All that the charts are drawn from."""

    chosen: Chosen
    dense: pd.DataFrame  # the dense model's point
    points: pd.DataFrame  # every point of the chosen methods
    highlighted: pd.DataFrame  # those of the series that have names
    show_context: bool  # whether the rest stands behind them in grey
    perplexities: pd.DataFrame  # differences to dense of those that have names
    scored: Scored


class Described(NamedTuple):
    """What a chart or a table shows, and its texts."""

    drawn: pd.DataFrame
    caption: str
    table: pd.DataFrame  # as it is exported
    alt: str = ""


@shared
def split_points(measured: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the points of the dense model and those of all others."""
    dense = points.is_dense(measured)
    return points.collapse(measured[dense]), points.collapse(measured[~dense])


@shared  # the answers of documents that it reads change only with the rows of the same variants
def shown_series(chosen: Chosen, dense: pd.DataFrame, found: pd.DataFrame, names: list[str], others: bool) -> Shown:
    """Return what the charts show where these series are highlighted."""
    lit = found[found["series"].isin(names)]
    differences = differences_to_dense(chosen.measured, names)
    return Shown(chosen, dense, found, lit, others, differences, score(chosen, names))


@shared
def curve_data(shown: Shown) -> Described:
    """Return the points of the curve with their hover texts, and the chart's caption, export and label."""
    chosen, lit = shown.chosen, shown.highlighted
    protocol = chosen.measured["protocol"].iloc[0]
    caption = f"{chosen.model}, perplexity on {called(str(chosen.corpus))}: {protocol}.{chosen.data_caption}"
    caption += curve.explained(lit, shown.dense)
    best = lit.iloc[int(lit["value"].argmin())]
    alt = f"Perplexity of {chosen.model} against {chosen.axis.title.lower()}, a line for each of "
    alt += f"{', '.join(series_of(lit))}. Lowest: {best['series']} at {best['where']}, {best['value']:.4g}."
    drawn = paired.of_curve(shown.perplexities, shown.points if shown.show_context else lit)
    return Described(drawn, caption, with_dense(shown.dense, lit), alt)


@shared
def series_of(rows: pd.DataFrame) -> list[str]:
    """Return the names of the points' series, in their order."""
    return list(rows["series"].unique())


@shared
def with_dense(dense: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the dense model's point, then the others."""
    return pd.concat([dense, rows])


@shared
def points_data(shown: Shown) -> Described:
    """Return the table of all points; what it exports beside them are the means of accuracies."""
    accuracies = adjust_together(paired.of_shown(shown.scored.mean_differences, shown.highlighted))
    table = comparison(shown.highlighted, shown.scored.means, shown.dense, shown.perplexities, accuracies)
    protocol = shown.chosen.measured["protocol"].iloc[0]
    caption = f"{shown.chosen.model} on {called(str(shown.chosen.corpus))}: {protocol}.{shown.chosen.data_caption}"
    caption += " Every point of the curve beside the dense model."
    if shown.perplexities["why"].isna().any() or accuracies["why"].isna().any():
        caption += " Intervals are of paired differences, not adjusted: the same windows or documents, read by both."
        caption += " Better and worse are at 5 %, by paired tests with Holm's correction over all points of the column."
    rests = pd.concat([shown.perplexities, accuracies])
    caption = f"{caption} {few_words(zip(rests['dataset'], rests['n'], strict=True))}".rstrip()
    means = shown.scored.means[shown.scored.means["label"].isin([*shown.dense["series"], *shown.highlighted["series"]])]
    return Described(table, caption, of_means(means))


@shared
def rows_at(rows: pd.DataFrame, amount: str) -> pd.DataFrame:
    """Return the points at an amount."""
    return rows[rows["where"] == amount]
