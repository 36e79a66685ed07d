"""Charts and tables of compared variants: differences in each number, accuracies by task, numbers and costs."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.findings.axes import PACKED, PARAMETERS
from core.findings.cost import cost_of
from core.findings.numbers.differences import NUMBER
from core.findings.numbers.reporting import UNADJUSTED, TableRow, form_of, verdict_text
from core.findings.pairs import paired
from core.metrics import MEANS, METRICS, SPEEDS
from core.notation.removal import block_share
from core.results import Result
from dashboard.charts.elements.drawing import Drawing, Panels, error_bars, named_axis
from dashboard.charts.elements.labels import wrapped
from dashboard.charts.elements.style import Properties, SeriesStyle, Theme

PANELS = {  # unit: (no difference, title)
    "ratio": (1.0, "Perplexity, ratio"),
    "nats": (0.0, f"{', '.join(one.label for one in MEANS.values() if one.unit == 'nats')}, nats"),
    "points": (0.0, "Accuracy, agreement: points"),
}
COLOURS, SYMBOLS = (1, 0), ("circle", "square", "diamond")  # of the palette; of first, second and neither
ROW, FRAME = 34, 110  # px: per number, and around the panels
ROOM = 0.08  # of the axis, beside the outermost interval
HEIGHT = 380  # pixels
STYLES = ((8, "solid", "circle"), (0, "dash", "square"), (1, "dot", "diamond"), (2, "dashdot", "triangle-up"))
QUALITY = [one.name for one in METRICS.values() if one.on in ("windows", "documents")]
OTHER_PROTOCOL = "other protocol"
SECONDS = "Time to compress, without other programs (s)"

Identity = tuple[str, str, str]  # as `NUMBER`


def difference_chart(rows: pd.DataFrame, names: tuple[str, str], theme: Theme) -> go.Figure:
    """Draw the difference of a variant to another in each number, each unit in a panel of its own.

    `rows` are as of `core.findings.pairs.numbers.number_rows`, and `names` those of the first and second variant.
    """
    units = [unit for unit in PANELS if unit in set(rows["unit"])]
    heights = {number: len(rows) - place for place, number in enumerate(rows["number"])}
    panels = Panels(theme, len(units), ROW * len(rows), FRAME, across=len(PANELS))
    drawing, ends = panels.drawing, [0.5, len(rows) + 0.5]
    y = {"tickvals": list(heights.values()), "ticktext": [wrapped(number) for number in heights]}
    y |= {"showgrid": False, "ticks": "", "range": ends}
    for place, unit in enumerate(units):
        none, title = PANELS[unit]
        part = rows[rows["unit"] == unit]
        values = pd.concat([part[name] for name in ("value", "low", "high")]).dropna()
        low, high = min(values.min(), none), max(values.max(), none)
        room = ROOM * (high - low) or ROOM
        x = {"range": [low - room, high + room]}
        axes = panels.add(place, f"<b>{title}</b>" if len(units) > 1 else "", x, y)
        drawing.line([none, none], ends, theme.text, 1.4, **axes)
        _draw_part(drawing, part, theme, heights, axes)
    for better, text in ((0, f"{names[0]} is better"), (1, f"{names[1]} is better"), (-1, "not significant")):
        if (rows["better"] == better).any():
            drawing.entry(text, text, "markers", _style(better, theme).marker(theme))
    unit = f"{PANELS[units[0]][1]}: " if len(units) == 1 else ""
    drawing.lay_out(title={"text": f"{unit}{names[0]} relative to {names[1]}"})
    return drawing.figure()


def _draw_part(drawing: Drawing, part: pd.DataFrame, theme: Theme, heights: dict[str, int], axes: Properties) -> None:
    for better in part["better"].unique():
        group, style = part[part["better"] == better], _style(better, theme)
        drawing.scatter(
            x=group["value"],
            y=[heights[number] for number in group["number"]],
            mode="markers",
            marker=style.marker(theme),
            error_x=error_bars(group["low"], group["value"], group["high"], group["low"].notna(), style.color),
            customdata=group[["number", "hover_text"]].to_numpy(),
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
            **axes,
        )


def _style(better: int, theme: Theme) -> SeriesStyle:
    """Return the style of numbers in which the first (0), the second (1) or no variant (-1) is better."""
    colour = theme.muted if better < 0 else theme.palette[COLOURS[better]]
    return SeriesStyle(colour, "solid", SYMBOLS[better])


def task_profile(rows: pd.DataFrame, tasks: Sequence[str], theme: Theme) -> go.Figure:
    """Draw the accuracy of each variant in each of `tasks`, labels in the order of the axis.

    `rows` have the columns name (of the variant), task, value and stderr, as shares.
    """
    drawing = Drawing(theme, HEIGHT, "Zero-shot accuracy (%)", "Task")
    for (name, part), (colour, dash, symbol) in zip(rows.groupby("name", sort=False), STYLES, strict=False):
        part = part.set_index("task").reindex([task for task in tasks if task in set(part["task"])])
        style = SeriesStyle(theme.palette[colour], dash, symbol)
        hover = f"<b>{name}</b><br>%{{x}} %{{y:.1f}} %<extra></extra>"
        drawing.curve(list(part.index), 100 * part["value"], style, name=str(name), hovertemplate=hover)
    drawing.lay_out(xaxis=named_axis(tasks, tasks))
    return drawing.figure()


def quality_columns(rows: pd.DataFrame, found: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each number that at least two variants have, at least under some protocol.

    The columns are Number, Protocol, and a group for each variant: its value and, except for the baseline, the
    difference with its interval, and the verdict. A cell marks a number under another protocol.

    `rows` are tidy measurements of the variants in `names`, whose first key is that of the baseline. `found` has the
    rows of `core.findings.numbers.differences` of each other variant to it.
    """
    baseline, *others = names
    rows = rows[rows["key"].isin(names) & rows["metric"].isin(QUALITY)]
    values: dict[tuple[str, ...], TableRow] = {(row["key"], *_identity(row)): row for row in rows.to_dict("records")}
    pairs = {}
    for row in found.to_dict("records"):
        pairs[(row["key"], *_identity(row))] = row
        values.setdefault((row["key"], *_identity(row)), row)  # means of tasks have no measurement of their own
        values.setdefault((baseline, *_identity(row)), row | {"value": row["reference"]})
    every = pd.DataFrame([{**row, "unpaired_reason": None} for row in values.values()])
    if every.empty:
        return pd.DataFrame(columns=["Number", "Protocol"])
    table = []
    for row in paired.in_order(every.drop_duplicates(list(NUMBER))).to_dict("records"):
        cells = {key: _value(values, key, _identity(row)) for key in names}
        if sum(cell != "" for cell in cells.values()) < 2:
            continue
        line = {"Number": paired.number_name(row), f"{names[baseline]}: Value": cells[baseline]}
        for key in others:
            pair = pairs.get((key, *_identity(row)))
            words = form_of(str(row["metric"])).words(pair) if pair and pd.isna(pair["unpaired_reason"]) else ()
            line[f"{names[key]}: Value"] = cells[key]
            line[f"{names[key]}: Difference, {UNADJUSTED}"] = " ".join(filter(None, words))
            line[f"{names[key]}: Baseline compared"] = "" if pair is None else verdict_text(pair)
        table.append(line | {"Protocol": row["protocol"]})
    return pd.DataFrame(table)


def cost_columns(results: Sequence[Result], names: Mapping[str, str]) -> pd.DataFrame:
    """Return sizes, speeds and times of variants: a row for each number, and a column for each variant by name."""
    columns: dict[str, dict[str, float]] = {}
    for result in results:
        column = columns[names[result.variant.key]] = {}
        if size := result.footprint:
            share = block_share(result)
            column[PACKED.title] = size.packed_bytes / 1e6
            column["Bits per weight"] = size.bits_per_weight
            column[PARAMETERS.title] = (size.model_parameters - size.model_zeros) / 1e6
            column["Block weights removed (%)"] = float("nan") if share is None else 100 * share
            if size.macs:
                column["GMACs for 64 tokens"] = size.macs / 1e9
        for row in result.measurements:
            if row.metric in SPEEDS:
                on = f"batch {row.protocol['batch']}, {row.protocol['dtype']}"
                column[f"{SPEEDS[row.metric].title}, {on}"] = row.value
        seconds = cost_of([result.variant]).seconds
        if seconds is not None and result.variant.key != result.variant.dense_key:
            column[SECONDS] = seconds
    table = pd.DataFrame(columns).dropna(how="all")
    return table.rename_axis("Number").reset_index()


def _identity(row: TableRow) -> Identity:
    dataset, metric, protocol = (str(row[name]) for name in NUMBER)
    return dataset, metric, protocol


def _value(values: Mapping[tuple[str, ...], TableRow], key: str, number: Identity) -> str:
    row = values.get((key, *number))
    if row is not None:
        return paired.number_words(row, "value")
    alike = any(one[0] == key and one[1:3] == number[:2] for one in values)
    return OTHER_PROTOCOL if alike else ""
