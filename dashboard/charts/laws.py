"""Chart of a compression law with its data points: pure functions from a law to a Figure and its table."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.findings.axes import RATIO
from core.findings.laws.forms import FORMS
from core.findings.laws.groups import Group
from core.findings.laws.law import Law
from core.notation.chain import DENSE
from core.notation.formatting import label
from dashboard.charts.elements.drawing import PERCENT, Drawing
from dashboard.charts.elements.style import Theme, faded, look

STEPS = 70  # points of a line
DASHES = dict(zip([form.name for form in FORMS], ("dash", "dot", "dashdot"), strict=True))  # the shown fit is solid
BEST = ", predicts best"
FEW = 4  # series, with dense, that the legend names; if there are more, hover texts name them


def law_chart(found: Law, title: str, theme: Theme) -> go.Figure:
    """Draw the fits of one group as lines up to its largest ratio, with the band of the fit of the answer.

    Perplexities have a log axis; accuracies are in percent.
    """
    drawing, shown, group = Drawing(theme, 400, title, RATIO.title), found.shown, found.group
    drawing.lay_out(xaxis=PERCENT)
    ratios = np.linspace(0, group.largest, STEPS)
    _, low, high = (_measure(group, one) for one in shown.curve(ratios))
    color, entry = faded(faded(theme.muted, theme), theme), {"name": "95 % band", "showlegend": False}
    drawing.area([*ratios, *ratios[::-1]], [*low, *high[::-1]], color, **entry)
    for one in found.fits:
        front = one is shown
        line = {"width": 2.4 if front else 1.6, "color": theme.text if front else theme.muted}
        drawing.scatter(
            x=ratios,
            y=_measure(group, one.curve(ratios)[0]),
            mode="lines",
            name=one.form.name + (BEST if one is found.best else ""),
            line=line | {"dash": "solid" if front else DASHES[one.form.name]},
            customdata=100 * ratios,
            hovertemplate=f"<b>{one.form.law}</b>, %{{customdata:.0f}} %<br>%{{y:.4g}}<extra></extra>",
        )
    _draw_points(drawing, group, theme)
    values = _measure(group, group.rows["value"].to_numpy())
    _lay_out(drawing, group, values)
    return drawing.figure()


def points(found: Law) -> pd.DataFrame:
    """Return the points of a group with the value of each form at their ratios, as `slimscope results --csv` does."""
    group = found.group
    rows = group.rows[["series", "ratio"]].rename(columns={"series": "series_label"})
    rows = rows.assign(value=_number(group, group.rows["value"].to_numpy()))
    ratios = group.rows["ratio"].to_numpy()
    return rows.assign(**{one.form.name: _number(group, one.curve(ratios)[0]) for one in found.fits})


def _number(group: Group, values: np.ndarray) -> np.ndarray:
    """Return L as perplexities, or as accuracies, which are shares."""
    return np.exp(values) if group.loss else values


def _measure(group: Group, values: np.ndarray) -> np.ndarray:
    """Return L in display units: perplexities, or accuracies in percent."""
    return _number(group, values) * (1 if group.loss else 100)


def _draw_points(drawing: Drawing, group: Group, theme: Theme) -> None:
    few = group.rows["series"].nunique() <= FEW
    for (series, parts), rows in group.rows.groupby(["series", "parts"], sort=False):
        name = label(DENSE) if series == DENSE else str(series)
        drawing.scatter(
            x=rows["ratio"],
            y=_measure(group, rows["value"].to_numpy()),
            mode="markers",
            name=name,
            showlegend=few or series == DENSE,
            marker=look(str(parts), theme).marker(theme),
            customdata=100 * rows["ratio"],
            hovertemplate=f"<b>{name}</b>, %{{customdata:.3g}} %<br>%{{y:.4g}}<extra></extra>",
        )


def _lay_out(drawing: Drawing, group: Group, values: np.ndarray) -> None:
    """Set the axes so that they just contain all points; lines may leave the plot."""
    low, high = float(values.min()), float(values.max())
    if group.loss:
        reach = max(high / low, 1.5)
        drawing.log_axis(low / reach**0.1, high * reach**0.15)
    else:
        reach = high - low or 1.0
        drawing.lay_out(yaxis={"range": (low - 0.15 * reach, high + 0.15 * reach)})
    drawing.lay_out(xaxis={"range": (-0.03 * group.largest, 1.05 * group.largest)})
