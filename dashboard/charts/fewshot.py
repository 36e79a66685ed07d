"""Accuracy against the number of few-shot examples, a panel for each selector and template.

Pure functions: DataFrame in, DataFrame or plotly Figure out.
"""

from textwrap import wrap

import pandas as pd
import plotly.graph_objects as go

from core.data.cards import TASKS
from core.findings.numbers.fewshot import MEAN, describe_prompt, prompt_words, prompted
from core.findings.numbers.paired import Difference
from core.findings.numbers.reporting import UNADJUSTED, TableRow, in_points, p_words
from core.findings.numbers.verdicts import SIGNIFICANT, holm, verdict, verdict_text
from dashboard.charts.elements.drawing import Panels, error_bars
from dashboard.charts.elements.style import Theme, of_lines

PANEL, FRAME = 250, 120  # px: of a panel, and around all panels
LETTERS = 30  # letters per line of a panel's title
SERIES_GAP = 0.07  # share of the step between two numbers, from one variant to the next
LESS, MORE = COSTS = "costs less", "costs more"  # compression, compared with zero-shot
INTERVALS = f"{UNADJUSTED} intervals"


def task_name(dataset: str, tasks: int) -> str:
    """Return the display name of the data set of a row of `core.findings.numbers.fewshot`."""
    if dataset == MEAN:
        return f"Mean of {tasks} tasks"
    known = TASKS.get(dataset.partition("@")[0])
    return known.label if known else dataset


def with_zero(rows: pd.DataFrame, prompts: str) -> pd.DataFrame:
    """Return a variant's rows of one kind of prompt, by k; without a row for k = 0, zero-shot is added."""
    mine = rows[rows["prompts"] == prompts]
    if len(mine) and not (mine["k"] == 0).any():
        mine = pd.concat([rows[(rows["prompts"] == "") & (rows["k"] == 0)], mine])
    return mine.sort_values("k")


def with_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with `low` and `high` around the accuracy: the paired interval, missing for the dense model."""
    shift = rows["value"] - rows["difference"]
    return rows.assign(low=rows["low"] + shift, high=rows["high"] + shift)


def exported(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `with_bars` with the columns of `slimscope results --csv`."""
    columns = ["series_label", "dataset", "prompts", "k", "value", "low", "high"]
    return rows[columns].rename(columns={"k": "fewshot"})


def shots_chart(rows: pd.DataFrame, theme: Theme, task: str) -> go.Figure:
    """Draw the accuracy on one task against k, the number of few-shot examples.

    `rows` have series, parts, pattern, k, prompts, and value, low and high in percent. low and high are the ends of the
    paired interval, missing for the dense model.
    """
    kinds = sorted(prompted(rows)["prompts"].unique(), key=lambda prompts: (len(prompts), prompts))
    steps = sorted(rows["k"].unique())
    panels = Panels(theme, len(kinds), PANEL, FRAME)
    names = list(dict.fromkeys(rows["series_label"]))
    styles = of_lines(dict(zip(rows["series_label"], rows["parts"], strict=True)), theme)
    known = pd.concat([rows["value"], rows["low"], rows["high"]]).dropna()
    named: set[str] = set()  # in the legend
    room = 0.06 * (known.max() - known.min()) or 1.0
    for place, prompts in enumerate(kinds):
        lowest = panels.lowest(place)
        x = {
            "range": [-0.4, len(steps) - 0.6],
            "tickvals": list(range(len(steps))),
            "ticktext": [f"{k:g}" for k in steps],
            "title": {"text": "Few-shot examples" if lowest else ""},
            "showticklabels": lowest,
        }
        title = "<br>".join(wrap(describe_prompt(prompts).capitalize(), LETTERS))
        axes = panels.add(place, f"<b>{title}</b>", x, {"range": [known.min() - room, known.max() + room]})
        for number, series in enumerate(names):
            mine = with_zero(rows[rows["series_label"] == series], prompts)
            shift = SERIES_GAP * (number - (len(names) - 1) / 2)
            if mine.empty:
                continue
            style, low = styles[series], mine["low"]
            bars = error_bars(low, mine["value"], mine["high"], low.notna(), style.color) if low.notna().any() else None
            panels.drawing.curve(
                [steps.index(k) + shift for k in mine["k"]],
                mine["value"],
                style,
                mine["pattern"].iloc[0],
                width=1.4,
                name=series,
                legendgroup=series,
                showlegend=series not in named,
                error_y=bars,
                customdata=mine["k"],
                hovertemplate=f"<b>{series}</b>, k = %{{customdata}}<br>%{{y:.1f}} %<extra></extra>",
                **axes,
            )
            named.add(series)
    panels.drawing.lay_out(title={"text": f"{task}, accuracy, % (higher is better)"})
    return panels.drawing.figure()


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the display table of one task, with verdicts that are Holm-adjusted over its rows."""
    adjusted = holm([None if pd.isna(p) else p for p in rows["growth_p"]])
    records, tested = rows.to_dict("records"), sum(one is not None for one in adjusted)
    cells = {
        "Variant": rows["series_label"].to_list(),
        "k": rows["k"].to_list(),
        "Prompt": list(map(prompt_words, rows["k"], rows["prompts"])),
        "Accuracy": (100 * rows["value"]).to_list(),
        "vs dense": [_difference(row, "") for row in records],
        "Change from zero-shot": [_difference(row, "growth_") for row in records],
        "Compression": [cost_text(row, p, tested) for row, p in zip(records, adjusted, strict=True)],
        "Adjusted p": list(map(p_words, adjusted)),
    }
    return pd.DataFrame(cells)


def cost_text(row: TableRow, p: float | None, comparisons: int) -> str:
    """Return the verdict on whether compression costs more or less with a prompt than zero-shot; empty without a pair.

    `p` is that of the row, adjusted for all shown rows, and `comparisons` is the number of shown rows with a p.
    """
    if pd.isna(row["growth_difference"]):
        return ""
    low, high = (None if pd.isna(row[name]) else row[name] for name in ("growth_low", "growth_high"))
    found = verdict(Difference(n=row["n"], difference=row["growth_difference"], low=low, high=high), p)
    return COSTS[SIGNIFICANT.index(found)] if found in SIGNIFICANT else verdict_text(found, comparisons)


def answer(shown: pd.DataFrame) -> str:
    """Return the finding: in how many rows of `table` the cost of compression differs from zero-shot."""
    judged = shown["Compression"][shown["Compression"] != ""]
    if judged.empty:
        return "No test is possible: per-document answers were not stored."
    more, less = int((judged == MORE).sum()), int((judged == LESS).sum())
    alike = len(judged) - more - less
    how = "do not measurably change" if not more + less else "rarely change" if 2 * alike > len(judged) else "change"
    text = f"Few-shot examples {how} the cost of compression: no significant difference from zero-shot in {alike} of"
    text += f" {len(judged)} comparisons (Holm-adjusted)."
    return f"{text} Compression costs more in {more} and less in {less}." if more + less else text


def _difference(row: TableRow, prefix: str) -> str:
    value = row[f"{prefix}difference"]
    if pd.isna(value):
        return ""
    return in_points(value, row[f"{prefix}low"], row[f"{prefix}high"])
