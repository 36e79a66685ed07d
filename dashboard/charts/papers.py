"""Published values (`core.store.bundled.published`) in charts and tables: pure functions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from core.amount import Ratio
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.findings import published
from core.findings.axes import perplexity_title
from core.findings.numbers.frame import COUNTED
from core.findings.rows import choices, points, zeroshot
from core.findings.sharing import shared
from core.notation.formatting import format_amount
from dashboard.charts.elements.drawing import Drawing, named_axis
from dashboard.charts.elements.style import SeriesStyle, Theme, look

TASK_LABELS = {name: card.label for name, card in TASKS.items()} | {"lambada": "LAMBADA", "storycloze": "StoryCloze"}
PRINTED = {corpus.id: f"Perplexity on {corpus.name}" for corpus in CORPORA if corpus.name}
TUNED = " + LoRA"
DASHES = {"unstructured": "solid", "4:8": "dash", "2:4": "dot"}
HERE = {"lambada": "lambada_openai"}  # tasks that Slimscope names differently
CHANCE = {name: card.chance for name, card in TASKS.items()} | {"lambada": 0.0, "storycloze": 0.5}


@dataclass(frozen=True)
class Table:
    """A table of a paper, and its layout."""

    title: str
    paper: str
    tables: tuple[str, ...]
    citation: str
    by: str  # `model`: perplexity by model; `task`: accuracy by task; `ratio`: both, by ratio

    @property
    def cited(self) -> str:
        """The sentence that cites it."""
        return f"{self.citation} ({', '.join(self.tables)})."


_SPARSEGPT = "Frantar & Alistarh, SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot, 2023"
_SLIMLLM = "Guo et al., SlimLLM: Accurate Structured Pruning for Large Language Models, 2025"
TABLES = (
    Table("SparseGPT: OPT, perplexity", "SparseGPT", ("table 1", "appendix"), _SPARSEGPT, "model"),
    Table("SparseGPT: OPT-175B, zero-shot", "SparseGPT", ("table 2",), _SPARSEGPT, "task"),
    Table("SlimLLM: LLaMA-7B", "SlimLLM", ("main table",), _SLIMLLM, "ratio"),
    Table("SlimLLM: LLaMA-2-7B", "SlimLLM", ("LLaMA-2 table",), _SLIMLLM, "ratio"),
)


@shared
def rows_of(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Return a table's rows with the method name of the charts (`name`) and the amount as text (`removed`)."""
    rows = frame[(frame["paper"] == table.paper) & frame["table"].isin(table.tables)]
    dense = rows["method"] == "Dense"
    patterned = rows["ratio_kind"].str.contains(":")
    removed = rows["ratio_kind"].where(patterned, rows["ratio"].map(lambda ratio: Ratio(ratio).label))
    return rows.assign(name=rows["method"].str.lower(), removed=removed.mask(dense, "0 %"))


@shared
def with_tuning(rows: pd.DataFrame, tuned: Collection[bool]) -> pd.DataFrame:
    """Return the dense model's rows, and those in one of these states (fine-tuned or not)."""
    return rows[rows["tuned"].isin(tuned) | (rows["name"] == "dense")]


@shared
def on_text(rows: pd.DataFrame, corpus: str) -> pd.DataFrame:
    """Return the perplexities on a corpus."""
    return rows[(rows["metric"] == "perplexity") & (rows["dataset"] == corpus)]


@shared
def accuracies_at(rows: pd.DataFrame, removed: str) -> pd.DataFrame:
    """Return the accuracies of the dense model and of variants at an amount."""
    return rows[(rows["metric"] != "perplexity") & rows["removed"].isin(["0 %", removed])]


def _amounts(rows: pd.DataFrame) -> pd.Series:
    """Return the amounts as the end of a point's name, such as `, 50 %`; empty for the dense model."""
    return rows["removed"].map(lambda removed: "" if removed == "0 %" else f", {removed}")


def parts(rows: pd.DataFrame) -> pd.Series:
    """Return the parts of the published variants for `dashboard.charts.elements.style.look`."""
    return rows["name"] + rows["tuned"].map({True: "+lora", False: ""})


@shared
def by_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `perplexity_by_model` from perplexities on one corpus."""
    return pd.DataFrame(
        {
            "series_label": rows["method"] + _amounts(rows),
            "method": rows["name"],
            "model": rows["model"],
            "ratio_kind": rows["ratio_kind"],
            "value": rows["value"],
        }
    )


def perplexity_by_model(rows: pd.DataFrame, models: Sequence[str], theme: Theme, corpus: str) -> go.Figure:
    """Draw a paper's perplexities by model, a line for each series.

    `rows`: series, method, model, ratio_kind (`unstructured` or N:M), value.
    """
    family, sizes = models[0].rpartition("-")[0], [model.rpartition("-")[2] for model in models]
    drawing = Drawing(theme, 440, perplexity_title(corpus), f"{family} model size")
    for series, part in rows.groupby("series_label", sort=False):
        own, kind = look(part["method"].iloc[0], theme), part["ratio_kind"].iloc[0]
        style = SeriesStyle(own.color, DASHES.get(kind, "solid"), own.symbol)
        part = part.set_index("model").reindex([model for model in models if model in set(part["model"])])
        hover = f"<b>{series}</b>, %{{x}}<br>perplexity %{{y:.4g}}<extra></extra>"
        x, y = list(part.index), part["value"]
        drawing.curve(x, y, style, kind, name=str(series), hovertemplate=hover)
    drawing.log_axis(rows["value"].min() * 0.8, rows["value"].max() * 1.3)
    drawing.lay_out(xaxis=named_axis(models, sizes))
    return drawing.figure()


@shared
def by_ratio(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the points and the dense point of `curve.perplexity_curve` from perplexities on one corpus."""
    series = rows["method"] + rows["tuned"].map({True: TUNED, False: ""})
    shown = pd.DataFrame(
        {
            "series_label": series,
            "name": series + _amounts(rows),
            "recovery": rows["tuned"].map({True: "lora", False: None}),
            "parent_label": rows["method"].where(rows["tuned"], None),
            "parts": parts(rows),
            "chain": None,
            "series_chain": None,
            "method": rows["name"],
            "ratio": rows["ratio"].where(rows["name"] != "dense"),
            "pattern": None,
            "seed": None,
            "key": "",
            "value": rows["value"],
            "stderr": None,
        }
    ).assign(**dict.fromkeys(COUNTED))
    collapsed = points.collapse(shown)
    return collapsed[collapsed["method"] != "dense"], collapsed[collapsed["method"] == "dense"]


@shared
def by_task(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `scores.accuracy_dots`, with the mean over the table's tasks last."""
    amounts = _amounts(rows)
    shown = pd.DataFrame(
        {
            "series_label": rows["method"] + rows["tuned"].map({True: TUNED, False: ""}) + amounts,
            "parent_label": (rows["method"] + amounts).where(rows["tuned"], None),
            "recovery": rows["tuned"].map({True: "lora", False: None}),
            "amount_label": rows["removed"],
            "parts": parts(rows),
            "method": rows["name"],
            "pattern": rows["ratio_kind"].where(rows["ratio_kind"].str.contains(":")),
            "dataset": rows["dataset"],
            "task": rows["dataset"].map(TASK_LABELS),
            "chance": rows["dataset"].map(CHANCE),
            "metric": rows["measure"],
            "value": rows["value"] / 100,
        }
    )
    same = dict.fromkeys(("parent_label", "recovery", "amount_label", "parts", "method", "pattern"), "first")
    mean = shown.groupby("series_label", sort=False).agg(same | {"value": "mean"}).reset_index()
    several = f"ean of {shown['task'].nunique()} tasks"
    mean = mean.assign(dataset=f"m{several}", task=f"M{several}", chance=float("nan"), metric="mean")
    both = pd.concat([shown, mean], ignore_index=True)
    return both.assign(low=both["value"], high=both["value"], seeds=1, key="", spread="")


@shared
def measured_curve(read: pd.DataFrame, window: float, parts: Collection[str]) -> pd.DataFrame:
    """Return the measured perplexities of the dense model and of variants with these parts, for one window length.

    `read` are tidy rows on one corpus. The result is of the model, protocol and data with most rows. It is empty if
    only dense models have any.
    """
    rows = choices.by_share(read[(read["window"] == window) & ~read["spread_windows"].astype(bool)])
    rows = rows[points.is_dense(rows) | rows["parts"].isin(parts)]
    if points.is_dense(rows).all():
        return rows[:0]
    model, protocol = rows[["model", "protocol_id"]].value_counts().index[0]
    return choices.filter_by_main_text(rows[(rows["model"] == model) & (rows["protocol_id"] == protocol)])


def tasks_here(printed: pd.DataFrame) -> dict[str, str]:
    """Return the tasks of published accuracies: Slimscope's name -> the paper's name."""
    return {HERE.get(name, name): name for name in printed["dataset"]}


@shared
def measured(frame: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """Return measured accuracies that match published ones in method and amount, in the form of `rows_of`.

    `frame` is tidy. The result is of the model with most rows, under the protocol with which the dense model has most
    documents.
    """
    names = tasks_here(printed)
    rows = choices.by_share(frame[(frame["metric"] == "acc") & frame["dataset"].isin(names)])
    rows = rows[points.is_dense(rows) | rows["parts"].isin(printed["name"])]
    rows = rows.assign(removed=list(map(format_amount, points.amounts_of(rows))))
    rows = rows[points.is_dense(rows) | rows["removed"].isin(printed["removed"])]
    if points.is_dense(rows).all():
        return rows[:0]
    rows = rows[rows["model"] == rows["model"].mode().iloc[0]]
    most = rows.loc[points.is_dense(rows), "n"].max()
    rows = zeroshot.one_protocol(rows[rows["n"] == most])
    rows = choices.filter_by_text(rows, next(iter(choices.calibrations(rows)), None), None)
    rows = rows.drop_duplicates(["series_label", "removed", "dataset"])
    tasks = rows.groupby(["series_label", "removed"])["dataset"].transform("nunique")
    rows = rows[tasks == rows["dataset"].nunique()]  # a mean over fewer tasks does not compare
    dense = points.is_dense(rows)
    found = rows.assign(
        method=rows["series_label"],
        name=rows["method"],
        removed=rows["removed"].mask(dense, "0 %"),
        dataset=rows["dataset"].map(names),
        tuned=False,
        ratio_kind=rows["pattern"].fillna("unstructured"),
        measure="acc",
        value=100 * rows["value"],
    )
    order = list(dict.fromkeys(printed["dataset"]))
    return found.sort_values("dataset", key=lambda names: names.map(order.index), kind="stable")


def side(rows: pd.DataFrame) -> published.Side:
    """Return numbers in the form of `rows_of` for a comparison of orders: means over tasks, of the first model."""
    first = rows[(rows["model"] == rows["model"].iloc[0]) & (rows["name"] != "dense")]
    label = first["method"] + first["tuned"].map({True: TUNED, False: ""})
    table = first.assign(parts=parts(first), label=label).groupby(["parts", "label", "removed"], sort=False)["value"]
    return published.Side(str(rows["model"].iloc[0]), table.mean().reset_index())


def side_here(rows: pd.DataFrame) -> published.Side:
    """Return tidy perplexities of one model for a comparison of orders with `side`."""
    removed = list(map(format_amount, points.amounts_of(rows)))
    table = rows.assign(removed=removed, label=rows["series_label"])[~points.is_dense(rows)]
    return published.Side(str(rows["model"].iloc[0]), table[["parts", "label", "removed", "value"]])


@shared
def wide(rows: pd.DataFrame, columns: str) -> pd.DataFrame:
    """Return the table in the layout of papers: a row per method and amount, a column per value of `columns`."""
    names = list(dict.fromkeys(rows[columns]))
    index = ["method", "removed", *(["tuned"] if rows["tuned"].any() else [])]
    table = rows.pivot_table(index=index, columns=columns, values="value", sort=False)[names].reset_index()
    if "tuned" in table:
        table["tuned"] = table["tuned"].map({True: "yes", False: "no"})
    table.columns.name = None
    return table.rename(
        columns={"method": "Method", "removed": "Amount", "tuned": "Fine-tuned", **TASK_LABELS, **PRINTED}
    )


def protocol(rows: pd.DataFrame) -> str:
    """Return the protocol of the rows as the file states it: text and note."""
    first = rows.iloc[0]
    text = f"{first['text']}. " if isinstance(first["text"], str) and first["text"] else ""
    return text + str(first["note"]).rstrip(".")
