"""The panel of a point: stages, layers, training, command, export, scan, deletion, and its differences to dense."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.fields import Details
from core.findings.cost import NOT_ALONE, is_alone
from core.findings.inside.layers import changed_layers, stages_of
from core.findings.rows import naming, points, stages
from core.notation.chain import DENSE, common_defaults, file_name
from core.notation.formatting import capitalise, format_number, label
from core.notation.removal import (
    bits_words,
    block_share,
    describe_gap,
    embedding_words,
    format_percent,
    uncovered_words,
)
from core.results import Result
from core.specs import PUBLISHED, Stage
from dashboard import data
from dashboard.charts.curve import loss_curve
from dashboard.charts.matrices import layer_heatmap
from dashboard.explore.comparison import chosen_pair, compare, newly_ticked, pick_pair, show_comparison
from dashboard.explore.panel import show_panel
from dashboard.explore.saving import Offer, offer_file
from dashboard.exports.files import Item, export_name, model_part
from dashboard.shared import links, widgets
from dashboard.shared.binding import UNBOUND, keep_in_address, pick_named, segments
from dashboard.shared.pair import NOTES, offer_scan, show_differences, show_notes, show_scan

ENDED = {
    "budget": "Training used its whole budget.",
    "no improvement": "Training stopped early because the held-out loss no longer improved.",
    "cancelled": "Training was cancelled; the variant has the best weights until then.",
}
POINT = "explore_point"  # key of the field and parameter of the address
NARROWEST = 220  # px of a field
SPEED_FORMATS = {"Measured": "%.4g", "Dense": "%.4g", "Dense / measured": "%.2f"}
FIGURES = (  # column, label, help
    ("value", "Perplexity", "Lower is better"),
    ("packed_mb", "Packed size (MB)", "Smallest lossless layouts, at 16 bits per weight or the bits of the grid"),
    ("bits_per_weight", "Bits per weight", "Block linears, packed"),
)
METRIC = 150  # px of a headline number


class Point(NamedTuple):
    """The shown point and its name in captions."""

    result: Result
    name: str

    def file(self, content: str) -> str:
        """Return the name of an export file, without extension."""
        variant = self.result.variant
        return export_name(model_part(data.called(variant)), file_name(variant.stages), content)


def show_layers(point: Point) -> list[Item]:
    """Show the effect of one stage on each layer, for the stages that report it."""
    chain, choice = point.result.variant.stages, stages_of(point.result)
    if not choice:
        return []
    place = choice[-1]
    if len(choice) > 1:
        places = {f"{place + 1}. {label(chain[place].method)}": place for place in choice}
        key = f"explore_stage_{point.result.variant.key[:8]}"
        place = places[segments("Layers after stage", list(places), key, "stage", bound=UNBOUND, start=[*places][-1])]
    found = changed_layers(point.result, point.name, place)
    layers, measures = found.rows, {measure.title: measure for measure in found.measures}
    title = segments("Layers by", list(measures), "explore_by", "number", bound=UNBOUND)
    measure = measures[title]
    caption = f"{point.name}: {title} of each linear layer, by block"
    caption += f", after stage {place + 1}, {stages.stage_name(chain[place])}." if len(chain) > 1 else "."
    caption += f" {capitalise(title)}: {measure.meaning}."
    item = widgets.show_chart(
        "explore_layers",
        partial(layer_heatmap, layers.drop(columns="name"), column=measure.column, title=capitalise(title)),
        caption,
        layers.dropna(axis="columns", how="all"),
        alt=f"Heat map of {title} by block and layer role",
        file=point.file("layers"),
    )
    show_notes(layers)
    return [item]


def show_trainings(point: Point) -> list[Item]:
    """Show the loss curves of each stage that trained."""
    variant = point.result.variant
    pairs = enumerate(zip(variant.stages, variant.stage_runs, strict=False))
    trained = [(place, stage, run["training"]) for place, (stage, run) in pairs if "training" in run]
    return [_training(point, *one, several=len(trained) > 1) for one in trained]


def _training(point: Point, place: int, stage: Stage, training: Details, several: bool) -> Item:
    series = {"training": training["losses"], "held out": training["held_out"]}
    rows = pd.DataFrame(
        [(name, step, loss) for name, pairs in series.items() for step, loss in pairs],
        columns=["split", "step", "loss"],
    )
    caption = f"{point.name}: training and held-out losses on {stage.calibration}"
    caption += f", stage {place + 1}, {stages.stage_name(stage)}. " if several else ". "
    caption += f"{training['steps']} steps, {training['tokens']:,} tokens; the variant has the weights of step "
    caption += f"{training['best_step']}. "
    caption += ENDED.get(training["ended"], "")
    ending = f"_{place + 1}" if several else ""
    return widgets.show_chart(
        f"explore_losses{ending}",
        lambda theme: loss_curve(rows, theme),
        caption,
        rows,
        alt="Training and held-out loss by step",
        file=point.file(f"training{ending}"),
    )


def open_points(name: str, keys: Sequence[str]) -> None:
    """Open the details of the only point chosen in a table or chart, or compare the last two, with the next run.

    `name` is the key of the table or chart, and `keys` are those of all points that are chosen there now.
    """
    chosen = newly_ticked(name, keys)
    if len(chosen) == 1:
        st.session_state[POINT] = chosen[0]
        compare()
    elif chosen:
        _compare(*chosen)


def pick_point(found: pd.DataFrame) -> dict[str, str]:
    """Show the fields that open a point or compare two, as clicks do; return the points' `addresses`."""
    names, options = naming.addresses(found), naming.options(found)
    with st.grid(2, min_column_width=NARROWEST):
        empty = "Select a point on the chart or here"
        pick_named("Details of a point", options, POINT, "point", placeholder=empty, on_change=keep_in_address)
        pick_pair(options)
    return names


def show_details(found: pd.DataFrame, names: dict[str, str]) -> None:
    """Show the chosen point, or two compared ones, in the panel until the user closes it; `names` are `addresses`."""
    if pair := chosen_pair():
        show_comparison(pair, found)
        return
    key = st.session_state[POINT]
    result = data.result(key) if key else None
    if result is None:
        return
    row = found[found["key"] == key].iloc[0]
    show_panel(row["name"], _close, _details, result, row, names[key], found)


def _close() -> None:
    st.session_state[POINT] = None


def _compare(*pair: str) -> None:
    compare(*pair)
    _close()


def _details(result: Result, row: pd.Series, chain: str, found: pd.DataFrame) -> None:
    _show_headline(row, found)
    if row["seeds"] > 1:
        ends = f"from {format_number(row['low'])} to {format_number(row['high'])}"
        seed = common_defaults(result.variant.stages).seed
        st.caption(f"Means of {row['seeds']} seeds with perplexities {ends}. The details below are of seed {seed}.")
    facts = ", ".join(_facts(result))
    st.markdown(f"{capitalise(facts)}.")
    for sentence in filter(None, (describe_gap(result), uncovered_words(result), embedding_words(result))):
        st.caption(sentence)
    if any(stage.removes and stage.ratio_kind == "sparsity" for stage in result.variant.stages):
        st.caption("Zeros save memory but no time, also with 2:4: this runtime uses dense kernels.")
    if not result.variant.is_external:
        widgets.show_command(result, "Command to reproduce it:")
    with st.container(horizontal=True):
        links.show("inside", "Look inside", "layers", links.inside(result.variant.key, data.called(result.variant)))
        if not result.variant.is_external:
            offer_file("explore", lambda: Offer(result))
            offer_scan(result)
        if result.variant.key in data.store().local_keys():
            with st.popover("Delete my numbers", icon=":material/delete:"):
                st.write("This deletes the results of this point that were measured on or imported to this machine.")
                key = result.variant.key
                st.button("Delete", type="primary", on_click=_delete, args=(key,), key="explore_delete")
    point = Point(result, f"{data.called(result.variant)}, {row['name']} (`{chain}`)")
    items = [
        *_stages(point),
        *show_layers(point),
        *show_scan(result, point.name, point.file("scan")),
        *show_trainings(point),
        *_compared_with_dense(point, found),
        *_speed(point, found),
    ]
    widgets.export_page(point.file("details"), lambda: items)


def _show_headline(row: pd.Series, found: pd.DataFrame) -> None:
    """Show the headline numbers of a point, compared with the dense model; `found` has the points of both."""
    dense = found[points.is_dense(found)]
    series = found[(found["series_label"] == row["series_label"]) & found["pattern"].isna()].sort_values("ratio")
    with st.grid(len(FIGURES), min_column_width=METRIC, gap="small"):
        for column, title, explained in FIGURES:
            if pd.isna(row[column]) or math.isinf(row[column]):
                continue
            base = float(dense[column].iloc[0]) if len(dense) else math.nan
            along = [value for value in series[column] if math.isfinite(value)]
            st.metric(
                title,
                format_number(row[column]),
                None if math.isnan(base) else f"dense {format_number(base)}",
                delta_color="off",
                delta_arrow="off",
                border=True,
                help=f"{explained}; the line shows this series by ratio." if len(along) > 2 else f"{explained}.",
                chart_data=along if len(along) > 2 else None,
            )


def _facts(result: Result) -> list[str]:
    """Describe how a variant was computed, and its size."""
    details, size = result.variant.details, result.footprint
    if size is None:
        if result.variant.revision == PUBLISHED:
            return [f"published in [{details['paper']}, {details['table']}]({details['url']})"]
        forms = {"packed_mb": "{:g} MB packed", "parameters": "{:g} million nonzero parameters"}
        stated = [form.format(details[name]) for name, form in forms.items() if name in details]
        return ["compressed and measured by other tools", f"imported on {details.get('created', '?')[:10]}", *stated]
    seconds = [stage["seconds"] for stage in result.variant.stage_runs if "seconds" in stage]
    facts = [
        f"computed in {sum(seconds):.0f} s" if seconds else None,
        NOT_ALONE if seconds and not all(map(is_alone, result.variant.stage_runs)) else None,
        f"on {details['device']}" if "device" in details else None,
        None if (share := block_share(result)) is None else f"{format_percent(share)} of block weights zero or removed",
        *bits_words(result),
        f"{size.macs / 1e9:.2f} GMACs for 64 tokens" if size.macs else None,
    ]
    return [fact for fact in facts if fact]


def _stages(point: Point) -> list[Item]:
    """Show the cost, removed share and layer errors of each stage."""
    variant = point.result.variant
    if variant.is_external or (variant.method == DENSE and len(variant.stages) == 1):
        return []
    table = stages.stage_table(point.result)
    caption = f"{point.name}: cost and effect of each stage. Shares are of the dense model's block weights. Errors "
    caption += "are relative, of the linear layers."
    return [widgets.show_table("explore_stages", table, caption, stages.FORMATS, file=point.file("stages"))]


def _compared_with_dense(point: Point, found: pd.DataFrame) -> list[Item]:
    """Show the paired differences to the dense model, and a field that compares the point with another."""
    key, options = point.result.variant.key, naming.options(found)
    others = [other for other in options if other != key]
    chosen = st.selectbox(
        "Compare with",
        others,
        index=None,
        format_func=options.__getitem__,
        key=f"explore_other_{key[:8]}",
        placeholder="Select another point",
        help="Differences are paired: both variants have results on the same windows and documents.",
        on_change=_compare_with,
        args=(key,),
    )
    if chosen:
        st.rerun()  # of the whole page, which then opens the comparison
    dense = points.dense_key(data.frame(data.called(point.result.variant)))
    if dense in (None, key):
        return []
    caption = f"{point.name}, first, compared with dense, second. {NOTES}"
    return show_differences(data.paired([(key,)], dense), caption, point.file("paired"))


def _compare_with(key: str) -> None:
    if other := st.session_state[f"explore_other_{key[:8]}"]:
        _compare(key, other)


def _speed(point: Point, found: pd.DataFrame) -> list[Item]:
    """Show the measured latency and peak memory, compared with the dense model."""
    dense = next((data.result(key) for key in found.loc[points.is_dense(found), "key"]), None)
    table = stages.speeds(point.result, dense)
    if table.empty:
        return []
    caption = f"{point.name}: latency and memory on {point.result.variant.details.get('device', 'cpu')}, "
    caption += "prompts of 512 tokens, median of repeats. Dense: measured on the same kind of machine."
    return [widgets.show_table("explore_speed", table, caption, SPEED_FORMATS, file=point.file("speed"))]


def _delete(key: str) -> None:
    try:
        data.store().delete(key)
    except UserError as error:
        st.toast(str(error))
        return
    data.show_now()
    _close()
    st.toast("Deleted.")
