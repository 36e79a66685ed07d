"""The drawer of a point: its stages and layers, its command, and its export, scan and deletion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.errors import UserError
from core.fields import Details
from core.models.sources import identify_again
from core.notation.achieved import describe_gap, embedding_words, format_percent
from core.notation.chain import DENSE, file_name, shared
from core.notation.formatting import capitalise, format_number, label
from core.notation.removal import bits_words, block_share
from core.paths import typed_path
from core.registry import RECONSTRUCTIONS, quantises
from core.request.complete import check_save_folder
from core.request.reproduce import reproduce
from core.request.stages import variant_spec
from core.results import Result
from core.shipping.base import Format
from core.shipping.formats import FORMATS, find_format, size_of
from core.specs import PUBLISHED, RunSpec, Stage, precision_name
from dashboard import data
from dashboard.charts.elements import figures
from dashboard.charts.frames import latency, naming, points, stages
from dashboard.explore.comparison.field import chosen_pair, compare, end_comparison, newly_ticked, pick_pair
from dashboard.explore.comparison.view import NOTES, show_comparison, show_differences
from dashboard.explore.headline import show_headline
from dashboard.explore.sensitivity import offer_scan, show_scan
from dashboard.exports.files import Item
from dashboard.exports.names import export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND, check_link, keep_in_address

POINT = "explore_point"  # key of the field and parameter of the address
DRAWER = 720  # initial width in px
NARROWEST = 220  # px of a field
SPEED_FORMATS = {"Measured": "%.4g", "Dense": "%.4g", "Dense / measured": "%.2f"}


class Point(NamedTuple):
    """The shown point and its name in captions."""

    result: Result
    name: str

    def file(self, content: str) -> str:
        """Return the name of an export file, without extension."""
        variant = self.result.variant
        return export_name(model_part(data.called(variant)), file_name(variant.stages), content)


def model_file(model: str) -> str:
    """Return a model's id, which may be a path, as part of a file name."""
    return model.replace("/", "-")


def open_point(key: str) -> None:
    """Open a point's details with the next script run."""
    st.session_state[POINT] = key
    end_comparison()


def open_points(name: str, keys: Sequence[str]) -> None:
    """Open the details of the only point chosen in a table or chart, or compare the last two, with the next run.

    Args:
        name: Key of the table or chart.
        keys: Keys of all points that are chosen there now.
    """
    chosen = newly_ticked(name, keys)
    if len(chosen) == 1:
        open_point(chosen[0])
    elif chosen:
        compare(*chosen)
        st.session_state[POINT] = None


def pick_point(found: pd.DataFrame) -> dict[str, str]:
    """Show the fields that open a point or compare two, as clicks in a chart or table do.

    Returns:
        The points' `addresses`.
    """
    names, options = naming.addresses(found), naming.options(found)
    linked = st.query_params.get(POINT)
    key = None
    if linked and POINT not in st.session_state:
        key = naming.addressed(names, linked) or naming.addressed(options, linked)
    if key and linked != options[key]:
        st.query_params[POINT] = options[key]  # must precede the field, which reads the address once
        st.rerun()
    check_link(POINT, "point", options.values(), options.__getitem__)
    with st.grid(2, min_column_width=NARROWEST):
        st.selectbox(
            "Details of a point",
            list(options),
            index=None,
            format_func=options.__getitem__,
            key=POINT,
            on_change=keep_in_address,
            args=(POINT,),
            placeholder="Select a point on the chart or here",
            **BOUND,
        )
        pick_pair(options)
    return names


def show_details(found: pd.DataFrame, names: dict[str, str]) -> None:
    """Show the chosen point, or two compared ones, in a drawer until the user closes it.

    Args:
        found: The points.
        names: Their `addresses`.
    """
    if pair := chosen_pair():
        show_comparison(pair, found)
        return
    key = st.session_state[POINT]
    result = data.result(key) if key else None
    if result is None:
        return
    row = found[found["key"] == key].iloc[0]
    drawer = st.dialog(points.point_name(row), width=DRAWER, position="right", on_dismiss=_close)
    drawer(_details)(result, row, names[key], found)


def _close() -> None:
    st.session_state[POINT] = None


def _details(result: Result, row: pd.Series, chain: str, found: pd.DataFrame) -> None:
    show_headline(row, found)
    if row["seeds"] > 1:
        ends = f"from {format_number(row['low'])} to {format_number(row['high'])}"
        seed = shared(result.variant.stages).seed
        st.caption(f"Means of {row['seeds']} seeds with perplexities {ends}. The details below are of seed {seed}.")
    facts = ", ".join(_facts(result))
    st.markdown(f"{capitalise(facts)}.")
    for sentence in filter(None, (describe_gap(result), embedding_words(result))):
        st.caption(sentence)
    if any(stage.removes and stage.ratio_kind == "sparsity" for stage in result.variant.stages):
        st.caption("Zeros save memory but no time, also with 2:4: this runtime uses dense kernels.")
    if not result.variant.is_external:
        _reproduction(result)
    with st.container(horizontal=True):
        if not result.variant.is_external:
            _export(result)
            offer_scan(result)
        if result.variant.key in data.store().local_keys():
            with st.popover("Delete my numbers", icon=":material/delete:"):
                st.write("This deletes the results of this point that were measured on or imported to this machine.")
                key = result.variant.key
                st.button("Delete", type="primary", on_click=_delete, args=(key,), key="explore_delete")
    point = Point(result, f"{data.called(result.variant)}, {points.point_name(row)} (`{chain}`)")
    items = [
        *_stages(point),
        *_layers(point),
        *show_scan(result, point.name, point.file("scan")),
        *_trainings(point),
        *_beside_dense(point, found),
        *_speed(point, found),
    ]
    widgets.export_page(point.file("details"), lambda: items)


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
        f"on {details['device']}" if "device" in details else None,
        None if (share := block_share(result)) is None else f"{format_percent(share)} of block weights zero or removed",
        *bits_words(result),
        f"{size.macs / 1e9:.2f} GMACs for 64 tokens" if size.macs else None,
    ]
    return [fact for fact in facts if fact]


def _reproduction(result: Result) -> None:
    """Show the command that reproduces a variant."""
    try:
        command = reproduce(result)
    except UserError as error:
        st.caption(f"This variant cannot be reproduced: {error}")
    else:
        st.caption("Command to reproduce it:")
        st.code(command, language="bash", wrap_lines=True)


def _stages(point: Point) -> list[Item]:
    """Show the cost, removed share and layer errors of each stage."""
    variant = point.result.variant
    if variant.is_external or (variant.method == DENSE and len(variant.stages) == 1):
        return []
    table = stages.stage_table(point.result)
    caption = f"{point.name}: cost and effect of each stage. Shares are of the dense model's block weights. Errors "
    caption += "are relative, of the linear layers."
    return [widgets.show_table("explore_stages", table, caption, stages.FORMATS, file=point.file("stages"))]


def _beside_dense(point: Point, found: pd.DataFrame) -> list[Item]:
    """Show the paired differences to the dense model, and a field that compares the point with another."""
    key, options = point.result.variant.key, naming.options(found)
    others = [other for other in options if other != key]
    chosen = st.selectbox(
        "Compare with",
        others,
        index=None,
        format_func=options.__getitem__,
        key=f"explore_beside_{key[:8]}",
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
    caption = f"{point.name} compared with dense. {NOTES}"
    return show_differences(data.paired([(key,)], dense), caption, point.file("beside"))


def _compare_with(key: str) -> None:
    if other := st.session_state[f"explore_beside_{key[:8]}"]:
        compare(key, other)
        st.session_state[POINT] = None


def _speed(point: Point, found: pd.DataFrame) -> list[Item]:
    """Show the measured latency and peak memory, compared with the dense model."""
    dense = next((data.result(key) for key in found.loc[points.is_dense(found), "key"]), None)
    table = latency.speeds(point.result, dense)
    if table.empty:
        return []
    caption = f"{point.name}: latency and memory on {point.result.variant.details.get('device', 'cpu')}, "
    caption += "prompts of 512 tokens, median of repeats. Dense: measured on the same kind of machine."
    return [widgets.show_table("explore_speed", table, caption, SPEED_FORMATS, file=point.file("speed"))]


ENDED = {
    "budget": "Training used its whole budget.",
    "no improvement": "Training stopped early because the held-out loss no longer improved.",
    "cancelled": "Training was cancelled; the variant has the best weights until then.",
}


def _trainings(point: Point) -> list[Item]:
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
        lambda theme: figures.loss_curve(rows, theme),
        caption,
        rows,
        alt="Training and held-out loss by step",
        file=point.file(f"training{ending}"),
    )


def _layers(point: Point) -> list[Item]:
    """Show the effect of one stage on each layer, for the stages that report it."""
    reports, chain = point.result.layers, point.result.variant.stages
    if not reports:
        return []
    choice = sorted({layer.stage for layer in reports})
    place = choice[-1]
    if len(choice) > 1:
        place = st.segmented_control(
            "Layers after stage",
            choice,
            default=place,
            required=True,
            format_func=lambda place: f"{place + 1}. {label(chain[place].method)}",
            key=f"explore_stage_{point.result.variant.key[:8]}",
        )
    shown = [layer for layer in reports if layer.stage == place]
    layers = pd.DataFrame([layer.model_dump() | {"bits": layer.bits} for layer in shown])
    kind = layers["error_kind"].iloc[0]
    measure = "bits" if quantises(chain[place]) else "sparsity"  # zeros of quantised weights are codes, not sparsity
    titles = {"error": f"relative {kind} error", "bits": "bits per weight", "sparsity": "sparsity"}
    order = (measure, "error") if layers["bits"].nunique() > 1 else ("error", measure)
    choices = {titles[column]: column for column in order if layers[column].notna().any()}
    if not choices:
        return []
    title = st.segmented_control(
        "Layers by", list(choices), default=next(iter(choices)), required=True, key="explore_by"
    )
    meaning = {
        "output": "squared change of the layer's output on the calibration data, relative to the output",
        "weight": "squared change of the weights, relative to the weights",
    }[kind]
    if chain[place].method in {method.name for method in RECONSTRUCTIONS}:
        meaning = "squared distance to the unmasked layer's output on the calibration data, relative to that output"
    caption = f"{point.name}: {title} of each linear layer, by block"
    caption += f", after stage {place + 1}, {stages.stage_name(chain[place])}." if len(chain) > 1 else "."
    if choices[title] == "error":
        caption += f" Error: {meaning}."
    notes = [f"{layer.name}: {layer.note}" for layer in shown if layer.note]
    common = layers["note"].iloc[0] if layers["note"].nunique(dropna=False) == 1 else None
    item = widgets.show_chart(
        "explore_layers",
        lambda theme: figures.layer_heatmap(layers, theme, choices[title], title.capitalize()),
        caption,
        layers[["name", "block", "role", measure, "error", "error_kind", "damping", "seconds", "note"]],
        alt=f"Heat map of {title} by block and layer role",
        file=point.file("layers"),
    )
    if common:
        st.caption(f"All layers: {common}.")
    elif notes:
        with st.expander(f"{len(notes)} notes of the method"):
            st.markdown("\n".join(f"- {note}" for note in notes))
    return [item]


def _export(result: Result) -> None:
    """Show the form that queues the export of the variant for other programs."""
    variant = result.variant
    with st.popover("Save for other programs", icon=":material/save:"):
        name = st.segmented_control(
            "Format",
            [form.name for form in FORMATS],
            default=FORMATS[0].name,
            required=True,
            format_func=lambda name: find_format(name).label,
            key=f"explore_format_{variant.key[:8]}",
        )
        form = find_format(name)
        st.caption(form.purpose)
        try:
            form.check(variant, identify_again(variant.model, variant.revision))
        except UserError as error:
            st.warning(str(error))
            return
        # A key for each format and point, so that the inputs start from their defaults.
        own = f"{form.name}_{variant.key[:8]}"
        kind = st.selectbox(
            "Weights",
            list(form.types.values()),
            index=list(form.types.values()).index(form.default(variant)),
            format_func=lambda kind: size_of(result, form, kind),
            key=f"explore_precision_{own}",
            help=f"Sizes are on disk; the results on this page are of {precision_name(variant.dtype)}.",
        )
        proposed = Path.home() / f"{model_file(variant.model)}-{file_name(variant.stages)}-{variant.key[:8]}"
        folder = st.text_input("New folder on this machine", str(proposed), key=f"explore_folder_{own}")
        st.caption("The job recomputes the model if it is not cached, adds a model card and runs the export check.")
        # Not a callback, which would miss a value typed just before the click.
        if st.button("Save", type="primary", key="explore_save"):
            _queue_export(result, folder, form, kind)


def _queue_export(result: Result, folder: str, form: Format, kind: str) -> None:
    try:
        target = typed_path(folder)
        if not folder or not target.is_absolute():
            raise UserError(f"Folder {folder!r} is not an absolute path; give one such as /home/me/model.")
        check_save_folder(target)
        variant = variant_spec(result.variant)
        data.queue().submit(RunSpec(variant=variant, save=str(target), format=form.name, precision=kind))
    except UserError as error:
        st.toast(str(error), icon=":material/error:")
        return
    st.toast(f"Queued; the Run page shows its progress. It writes {target}, {size_of(result, form, kind)}.")


def _delete(key: str) -> None:
    try:
        data.store().delete(key)
    except UserError as error:
        st.toast(str(error))
        return
    data.show_now()
    st.session_state[POINT] = None
    st.toast("Deleted.")
