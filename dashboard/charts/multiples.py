"""Several models on one chart, by their perplexity as a multiple of their dense model's.

Perplexities of different tokenizers cannot share an axis; these multiples can.

Pure functions: DataFrame in, DataFrame or plotly Figure out.
"""

import math
import re
from collections.abc import Sequence
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go

from core.findings.axes import Axis
from core.findings.curve import MAX_HIGHLIGHTED
from core.findings.numbers import seven
from core.findings.rows import choices, points, zeroshot
from core.findings.rows.other_texts import times_dense
from core.findings.sharing import shared
from core.models.catalogue import card_of
from core.notation.short import ORIGINS
from core.specs import PUBLISHED
from dashboard.charts.curve import perplexity_curve
from dashboard.charts.elements.style import Theme

SIZE = Axis("size", "Parameters of the dense model")
PACKED = Axis("packed_share", "Packed size relative to dense", percent=True, of_bits=True)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # of models, in order
PAPER = f" ({ORIGINS[PUBLISHED]})"  # end of a published series
CLOSE = 0.04  # share of the width between two labels of sizes
FORMATS = {
    "Times dense": "%.3g",
    "Accuracy vs dense": "%+.1f",
    "Packed size vs dense (%)": "%.1f",
    "Perplexity": "%.5g",
    "Dense parameters (millions)": "%.0f",
}


@shared
def comparable_rows(frame: pd.DataFrame, corpus: str, window: int, axis: Axis) -> pd.DataFrame:
    """Return comparable perplexities of a model: one corpus, window length, protocol, and data, those of most points.

    Only variants with a place on the axis are included. Without the dense model, or with nothing else, there are none.
    Windows that are spread over the corpus are excluded, because they do not compare with its first windows.
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
    """Return the points of a model (`points.collapse`) as multiples of its dense perplexity.

    `rows` are of `comparable_rows`. The points have more columns: `perplexity`; `of`, the series without the model;
    `packed_share`, the packed size over the dense model's; `size`, log10 of the dense model's parameters. Unknown
    values are NaN.
    """
    dense, found = points.split_points(rows)
    model, base = str(rows["model"].iloc[0]), float(dense["value"].iloc[0])
    card = card_of(model)
    size = math.log10(card.parameters) if card else math.nan
    return times_dense(_with_model(found, model), base).assign(
        of=found["series_label"].str.removesuffix(PAPER),
        size=size,
        packed_share=found["packed_mb"] / float(dense["packed_mb"].iloc[0]),
    )


@shared
def perplexities(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a model with its dense one, as of `multiples`, but with perplexities as values."""
    return _with_model(points.collapse(rows), str(rows["model"].iloc[0]))


def _with_model(found: pd.DataFrame, model: str) -> pd.DataFrame:
    labels = found["series_label"].str.replace(rf"^(.*?)({re.escape(PAPER)})?$", rf"\1, {model}\2", regex=True)
    return found.assign(series_label=labels, name=found["name"] + f", {model}", model=model)


@shared
def default_series(found: pd.DataFrame) -> list[str]:
    """Return the default series, without model names: those of most models, the best first."""
    of = found.groupby("of", sort=False).agg({"model": "nunique", "value": "median"})
    most = of["model"].max()
    highlighted, lines = list[str](), 0
    for name, models in of.sort_values(["model", "value"], ascending=[False, True])["model"].items():
        lines += models
        alone = models == 1 < most  # compares with nothing
        if highlighted and (lines > MAX_HIGHLIGHTED or alone):
            break
        highlighted.append(str(name))
    return highlighted


def by_amount(found: pd.DataFrame, axis: Axis, theme: Theme, corpus: str) -> go.Figure:
    """Draw the multiples against an axis of amounts: a line per series and model, with a dash per model."""
    figure = _drawn(found, axis, theme, corpus)
    dashes = dict(zip(found["model"].unique(), cycle(DASHES)))
    of = {series: dashes[model] for series, model in found[["series_label", "model"]].itertuples(index=False)}
    for trace in figure.select_traces({"type": "scatter"}):
        if trace.legendgroup in of and trace.line.dash:
            trace.line.dash = of[trace.legendgroup]
    return figure


def by_size(found: pd.DataFrame, theme: Theme, corpus: str) -> go.Figure:
    """Draw the multiples at one amount against model size, a line per series and model family."""
    found = found.assign(series_label=found["of"] + ", " + found["model"].str.rpartition("-")[0])
    figure = _drawn(found, SIZE, theme, corpus)
    sizes = found.drop_duplicates("size").dropna(subset=["size"]).set_index("size")["model"].sort_index()
    ticks: list[float] = []  # of models of similar size, only the first
    for size in sizes.index:
        if not ticks or size - ticks[-1] > CLOSE * (sizes.index[-1] - sizes.index[0]):
            ticks.append(size)
    return figure.update_xaxes(tickvals=ticks, ticktext=[sizes[size].rpartition("-")[2].upper() for size in ticks])


def _drawn(found: pd.DataFrame, axis: Axis, theme: Theme, corpus: str) -> go.Figure:
    """Draw the multiples against an axis; a series has one colour for all models."""
    dense = pd.DataFrame([{"value": 1.0, "key": "", "spread": "", "ratio": 0.0, "packed_share": 1.0, "size": math.nan}])
    return perplexity_curve(found.assign(series_chain=found["of"]), dense, axis, theme, corpus, multiples=True)


def exported(found: pd.DataFrame) -> pd.DataFrame:
    """Return the points with the columns of `slimscope results --csv`."""
    names = {"of": "series_label", "value": "perplexity_ratio", "perplexity": "value"}
    return found[["model", "of", "amount_label", "value", "perplexity"]].rename(columns=names)


@shared
def table(found: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Return the display table of the points; `means` as of `minus_dense`."""
    ordered = found.sort_values(["of", "size", "ratio", "pattern"], na_position="first")
    lost = means.set_index("key")["difference"].reindex(ordered["key"]).to_numpy(float)
    return pd.DataFrame(
        {
            "Method": ordered["of"],
            "Model": ordered["model"],
            "Amount": ordered["amount_label"],
            "Times dense": ordered["value"],
            "Accuracy vs dense": 100 * lost,
            "Packed size vs dense (%)": 100 * ordered["packed_share"],
            "Perplexity": ordered["perplexity"],
            "Dense parameters (millions)": 10 ** (ordered["size"] - 6),
        }
    ).set_axis(ordered["key"])


@shared
def minus_dense(frame: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """Return each variant's mean accuracy in some tasks minus its dense model's (key, difference), as shares.

    The documents are those of the dense model's largest evaluation.
    """
    rows = _of_most_documents(frame)
    means = zeroshot.means_above_chance(rows, tasks)
    base = means.loc[means["key"].isin(rows.loc[points.is_dense(rows), "key"]), "mean"]
    return pd.DataFrame({"key": means["key"], "difference": means["mean"] - (base.iloc[0] if len(base) else math.nan)})


@shared
def counted_tasks(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the tasks that count for a model, on the documents of `minus_dense`."""
    return seven.counted_tasks(zeroshot.of_dense(_of_most_documents(frame)))


def _of_most_documents(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies on the documents of the dense model's largest evaluation; none without a dense model."""
    rows = zeroshot.scored_on(frame)
    dense = rows[points.is_dense(rows)]
    if dense.empty:
        return dense
    most = dense.iloc[int(dense["n"].argmax())]
    return zeroshot.one_protocol(rows[(rows["limit"] == most["limit"]) & (rows["scoring"] == most["scoring"])])
