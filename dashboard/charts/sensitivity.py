"""Layer sensitivity: the rise in perplexity with one block or linear of the dense model compressed.

Pure functions: results in, DataFrame or plotly Figure out.
"""

import math
import re

import pandas as pd
import plotly.graph_objects as go

from core.data.texts import called
from core.findings.numbers.intervals import interval
from core.notation.formatting import format_number
from core.results import SENSITIVITY, Result
from dashboard.charts.elements.drawing import Drawing, error_bars, log_ticks
from dashboard.charts.elements.style import Theme, look

TITLE = "Perplexity, times dense (log scale)"


def scans(result: Result) -> dict[str, pd.DataFrame]:
    """Return the last sensitivity scan of each kind, `block` or `linear`, with a row for each block or linear.

    `perplexity_ratio` is the perplexity as a multiple of the dense model's on the same windows. The columns with `_low`
    and `_high` are its 95 % interval by Student's t, missing for a single window. Windows count as independent, because
    their documents are shuffled.
    """
    roles = {layer.name: layer.role for layer in result.layers}
    rows = [row for row in result.measurements if row.metric == SENSITIVITY]
    found: dict[str, pd.DataFrame] = {}
    for by in dict.fromkeys(row.protocol["by"] for row in rows):
        of = [row for row in rows if row.protocol["by"] == by]
        last = {name: value for name, value in of[-1].protocol.items() if name != "part"}
        alike = [row for row in of if row.dataset == of[-1].dataset and last.items() <= row.protocol.items()]
        ends = [interval(row.value, row.stderr, row.n - 1) for row in alike]
        found[by] = pd.DataFrame(
            [
                {
                    "part": (part := row.protocol["part"]),
                    "block": int(re.findall(r"\.(\d+)", part)[0]),
                    "role": roles.get(part, part.rpartition(".")[2]),
                    "perplexity_ratio": math.exp(row.value),
                    "perplexity_ratio_low": math.nan if low is None else math.exp(low),
                    "perplexity_ratio_high": math.nan if high is None else math.exp(high),
                    "text": f"{called(row.dataset)}, {row.n} of {row.protocol['windows']} windows of "
                    f"{row.protocol['window']}",
                }
                for row, (low, high) in zip(alike, ends, strict=True)
            ]
        )
    return found


def by_block(rows: pd.DataFrame, method: str, theme: Theme) -> go.Figure:
    """Draw `perplexity_ratio` of each block, with its interval, in the colour of the method; `rows` as of `scans`."""
    drawing, style = Drawing(theme, 320, TITLE, "Block"), look(method, theme)
    low, value, high = (rows[f"perplexity_ratio{end}"] for end in ("_low", "", "_high"))
    drawing.scatter(
        x=rows["block"],
        y=value,
        mode="lines+markers",
        name="",
        showlegend=False,
        line={"color": style.color, "width": 1},
        marker=style.marker(theme),
        error_y=error_bars(low, value, high, low.notna(), style.color),
        hovertemplate="block %{x}<br>%{y:.4f} times dense<extra></extra>",
    )
    ends = min(1.0, float(low.fillna(value).min())) * 0.995, float(high.fillna(value).max()) * 1.005
    ticks = log_ticks(*ends)
    drawing.lay_out(
        xaxis={"dtick": max(1, len(rows) // 10)},
        yaxis={
            "type": "log",
            "range": [math.log10(end) for end in ends],
            "tickvals": ticks,
            "ticktext": [format_number(tick) for tick in ticks],
        },
    )
    return drawing.figure()
