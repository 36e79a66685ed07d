"""Several models on one chart: perplexities of different tokenizers share no axis, multiples of their own dense do.

Pure functions: DataFrame in, DataFrame or plotly Figure out.
"""

from __future__ import annotations

import math
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from core.data.texts import called
from core.models.catalogue import card_of
from core.specs import PUBLISHED
from dashboard.charts import choices, points, zeroshot
from dashboard.charts.choices import MAX_HIGHLIGHTED
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.figures import Axis
from dashboard.charts.style import Theme
from dashboard.sharing import shared

SIZE = Axis("size", "Parameters of the dense model")
PACKED = Axis("packed_share", "Packed size, share of the dense model's", percent=True, of_bits=True)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # of models in the order shown
CLOSE = 0.04  # of the width, from one label of a size to the next
FORMATS = {
    "Times dense": "%.3g",
    "Accuracy vs dense": "%+.1f",
    "Packed vs dense (%)": "%.1f",
    "Perplexity": "%.5g",
    "Dense parameters (M)": "%.0f",
}


@shared
def comparable_rows(frame: pd.DataFrame, corpus: str, window: int, axis: Axis) -> pd.DataFrame:
    """Return the perplexities of a model on a text in windows of a length, of the protocol and texts of most points.

    They are of variants that have a place on the axis; none where the dense model is not there, or nothing else is.
    Windows that are spread over the text are on no axis with the first ones, and left out.
    """
    rows = frame[(frame["metric"] == "perplexity") & (frame["dataset"] == corpus) & (frame["window"] == window)]
    rows = choices.curved(rows[~rows["spread_windows"].astype(bool)], axis)
    if rows.empty:
        return rows
    rows = choices.filter_by_main_text(rows[rows["protocol_id"] == rows["protocol_id"].mode().iloc[0]])
    dense = points.is_dense(rows)
    return rows if dense.any() and not dense.all() else rows[:0]


@shared
def multiples(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a model (`points.collapse`) as multiples of its dense perplexity; rows as of `alike`.

    `perplexity` is as it was measured, `of` the series' name without the model's, `packed_share` the packed size over
    the dense model's, and `size` the logarithm to base 10 of the dense model's parameters; both where they are known.
    """
    dense, found = (points.collapse(part) for part in (rows[points.is_dense(rows)], rows[~points.is_dense(rows)]))
    model, base = str(rows["model"].iloc[0]), float(dense["value"].iloc[0])
    card = card_of(model)
    size = math.log10(card.parameters) if card else math.nan
    value = found["value"] / base
    return found.assign(
        perplexity=found["value"],
        **dict.fromkeys(("value", "low", "high"), value),
        spread="",
        of=found["series"].str.removesuffix(f" ({PUBLISHED})"),
        series=found["series"].str.replace(rf"^(.*?)( \({PUBLISHED}\))?$", rf"\1, {model}\2", regex=True),
        model=model,
        size=size,
        packed_share=found["packed_mb"] / float(dense["packed_mb"].iloc[0]),
    )


@shared
def default_series(found: pd.DataFrame) -> list[str]:
    """Return the names of series, without a model's, that are shown at first: those of most models, the best first."""
    of = found.groupby("of", sort=False).agg({"model": "nunique", "value": "median"})
    most = of["model"].max()
    lit, lines = list[str](), 0
    for name, models in of.sort_values(["model", "value"], ascending=[False, True])["model"].items():
        lines += models
        if lit and (lines > MAX_HIGHLIGHTED or models == 1 < most):  # what one alone has is beside nothing
            break
        lit.append(str(name))
    return lit


def by_amount(found: pd.DataFrame, axis: Axis, theme: Theme, corpus: str) -> go.Figure:
    """Draw the multiples against an axis of amounts: a line for each series of each model, in the dash of the model."""
    figure = _drawn(found, axis, theme, corpus)
    dashes = dict(zip(found["model"].unique(), cycle(DASHES)))
    of = {series: dashes[model] for series, model in found[["series", "model"]].itertuples(index=False)}
    for trace in figure.select_traces({"type": "scatter"}):
        if trace.legendgroup in of and trace.line.dash:
            trace.line.dash = of[trace.legendgroup]
    return figure


def by_size(found: pd.DataFrame, theme: Theme, corpus: str) -> go.Figure:
    """Draw the multiples at one amount against the models' sizes, a line for each series of each family of models."""
    found = found.assign(series=found["of"] + ", " + found["model"].str.rpartition("-")[0])
    figure = _drawn(found, SIZE, theme, corpus)
    sizes = found.drop_duplicates("size").dropna(subset=["size"]).set_index("size")["model"].sort_index()
    ticks: list[float] = []  # of models that are about as large only the first
    for size in sizes.index:
        if not ticks or size - ticks[-1] > CLOSE * (sizes.index[-1] - sizes.index[0]):
            ticks.append(size)
    return figure.update_xaxes(tickvals=ticks, ticktext=[sizes[size].rpartition("-")[2].upper() for size in ticks])


def _drawn(found: pd.DataFrame, axis: Axis, theme: Theme, corpus: str) -> go.Figure:
    """Draw the multiples against an axis; a series has one colour in all models."""
    dense = pd.DataFrame([{"value": 1.0, "key": "", "spread": "", "ratio": 0.0, "packed_share": 1.0, "size": math.nan}])
    figure = perplexity_curve(found.assign(open=found["of"]), dense, axis, theme, corpus)
    return figure.update_layout(title_text=f"Perplexity on {called(corpus)}, times own dense (log scale)")


@shared
def table(found: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return the points as people read them; `means` are accuracies as of `minus_dense`."""
    ordered = found.sort_values(["of", "size", "ratio", "pattern"], na_position="first")
    lost = means.set_index("key")["difference"].reindex(ordered["key"]).to_numpy(float)
    return pd.DataFrame(
        {
            "Method": ordered["of"],
            "Model": ordered["model"],
            "Amount": ordered["where"],
            "Times dense": ordered["value"],
            "Accuracy vs dense": 100 * lost,
            "Packed vs dense (%)": 100 * ordered["packed_share"],
            "Perplexity": ordered["perplexity"],
            "Dense parameters (M)": 10 ** (ordered["size"] - 6),
        }
    ).set_axis(ordered["key"])


@shared
def minus_dense(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each variant's mean accuracy of seven tasks minus its dense model's (key, difference), as shares.

    On the documents of the tasks that the dense model was scored on most of.
    """
    rows = zeroshot.scored_on(frame)
    dense = rows[points.is_dense(rows)]
    if dense.empty:
        return pd.DataFrame(columns=["key", "difference"])
    most = dense.iloc[int(dense["n"].argmax())]
    rows = zeroshot.one_protocol(rows[(rows["limit"] == most["limit"]) & (rows["scoring"] == most["scoring"])])
    means = zeroshot.seven_means(rows)
    base = means.loc[means["key"].isin(dense["key"]), "mean"]
    return pd.DataFrame({"key": means["key"], "difference": means["mean"] - (base.iloc[0] if len(base) else math.nan)})
