"""One point in detail, beside the page: its layers, the command that makes it again, saving and deleting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from core.achieved import describe_gap, embedding_words, format_percent
from core.chain import DENSE, file_name, shared
from core.cli.reproduce import reproduce
from core.errors import UserError
from core.formatting import format_number, label
from core.paths import typed_path
from core.registry import RECONSTRUCTIONS, quantises
from core.removal import bits_words, block_share
from core.request.complete import check_save_folder
from core.request.stages import variant_spec
from core.results import Result
from core.shipping.base import Format
from core.shipping.formats import FORMATS, find_format, size_of
from core.specs import PUBLISHED, RunSpec, Stage, precision_name
from dashboard import data
from dashboard.charts import figures, latency, naming, points, stages
from dashboard.exports.files import Item
from dashboard.exports.names import export_name, model_part
from dashboard.panels import widgets
from dashboard.panels.compare import show_comparison
from dashboard.panels.headline import show_headline
from dashboard.panels.sensitivity import offer_scan, show_scan

POINT = "explore_point"  # the field and its place in the address
DRAWER = 720  # px, at first
SPEED_FORMATS = {"Measured": "%.4g", "Dense": "%.4g", "Dense / measured": "%.2f"}


class Point(NamedTuple):
    """A point that is shown, and its name in captions."""

    result: Result
    name: str

    def file(self, what: str) -> str:
        """Return the name of an export's file, without ending."""
        variant = self.result.variant
        return export_name(model_part(data.called(variant)), file_name(variant.stages), what)


def model_file(model: str) -> str:
    """Return a model's id, which may be a path, as part of a file's name."""
    return model.replace("/", "-")


def open_point(key: str) -> None:
    """Show a point's details from the next run on."""
    st.session_state[POINT] = key


def pick_point(found: pd.DataFrame) -> dict[str, str]:
    """Let one of the points be chosen, as a click on a chart or in a table does; return their `addresses`."""
    names = naming.addresses(found)
    asked = st.query_params.get(POINT)
    meant = naming.addressed(names, asked) if asked and POINT not in st.session_state else None
    if meant and asked != names[meant]:
        st.query_params[POINT] = names[meant]  # before the field is there, which then has it
        st.rerun()
    st.selectbox(
        "Details of a point",
        list(names),
        index=None,
        format_func=names.__getitem__,
        key=POINT,
        bind="query-params",
        placeholder="Click it on the chart, or choose it here",
    )
    return names


def show_details(found: pd.DataFrame, names: dict[str, str]) -> None:
    """Show what is known of the point that was chosen, beside the page, until that is closed.

    `names` are the points' `addresses`.
    """
    key = st.session_state[POINT]
    result = data.result(key) if key else None
    if result is None:
        return
    row = found[found["key"] == key].iloc[0]
    drawer = st.dialog(_name(row), width=DRAWER, position="right", on_dismiss=_close)
    drawer(_details)(result, row, names[key], found)


def _close() -> None:
    st.session_state[POINT] = None


def _name(row: pd.Series) -> str:
    return f"{row['series']}, {row['where']}"


def _details(result: Result, row: pd.Series, chain: str, found: pd.DataFrame) -> None:
    show_headline(row, found)
    if row["seeds"] > 1:
        ends = f"from {format_number(row['low'])} to {format_number(row['high'])}"
        seed = shared(result.variant.stages).seed
        st.caption(f"Means of {row['seeds']} seeds, of perplexities {ends}. What is below is of seed {seed}.")
    said = ", ".join(_facts(result))
    st.markdown(f"{said[0].upper()}{said[1:]}.")
    for told in filter(None, (describe_gap(result), embedding_words(result))):
        st.caption(told)
    if any(stage.removes and stage.ratio_kind == "sparsity" for stage in result.variant.stages):
        st.caption("Its zeros save memory and no time: they are multiplied with as other weights are, also in 2:4.")
    if not result.variant.is_external:
        _make_again(result)
    with st.container(horizontal=True):
        if not result.variant.is_external:
            _export(result)
            offer_scan(result)
        if result.variant.key in data.store().local_keys():
            with st.popover("Delete my numbers", icon=":material/delete:"):
                st.write("This removes what was measured on this machine for this point.")
                key = result.variant.key
                st.button("Delete", type="primary", on_click=_delete, args=(key,), key="explore_delete")
    point = Point(result, f"{data.called(result.variant)}, {_name(row)} (`{chain}`)")
    items = [
        *_stages(point),
        *_layers(point),
        *show_scan(result, point.name, point.file("scan")),
        *_trainings(point),
        *show_comparison(result, point.name, point.file("beside")),
        *_speed(point, found),
    ]
    widgets.export_page(point.file("details"), lambda: items)


def _facts(result: Result) -> list[str]:
    """Return in words how a variant was made and what it takes up."""
    details, size = result.variant.details, result.footprint
    if size is None:
        if result.variant.revision == PUBLISHED:
            return [f"published in [{details['paper']}, {details['table']}]({details['url']})"]
        told = {"packed_mb": "{:g} MB packed", "parameters": "{:g} million parameters that are not zero"}
        stated = [form.format(details[name]) for name, form in told.items() if name in details]
        return ["made and measured elsewhere", f"imported on {details.get('created', '?')[:10]}", *stated]
    seconds = [stage["seconds"] for stage in result.variant.stage_runs if "seconds" in stage]
    facts = [
        f"made in {sum(seconds):.0f} s" if seconds else None,
        f"on {details['device']}" if "device" in details else None,
        None if (gone := block_share(result)) is None else f"{format_percent(gone)} of block weights are zero or gone",
        *bits_words(result),
        f"{size.macs / 1e9:.2f} GMACs for 64 tokens" if size.macs else None,
    ]
    return [fact for fact in facts if fact]


def _make_again(result: Result) -> None:
    """Show the command that makes a variant again."""
    try:
        command = reproduce(result)
    except UserError as error:
        st.caption(f"There is no command that makes it again: {error}")
    else:
        st.caption("Make it again:")
        st.code(command, language="bash", wrap_lines=True)


def _stages(point: Point) -> list[Item]:
    """Show what each stage cost, removed and did to the layers."""
    variant = point.result.variant
    if variant.is_external or (variant.method == DENSE and len(variant.stages) == 1):
        return []
    table = stages.stage_table(point.result)
    caption = f"{point.name}: what each stage took and did. Gone: share of the dense model's block weights. Errors: "
    caption += "relative, of the linear layers."
    return [widgets.show_table("explore_stages", table, caption, stages.FORMATS, file=point.file("stages"))]


def _speed(point: Point, found: pd.DataFrame) -> list[Item]:
    """Show latency and peak memory beside those of the dense model, where they were measured."""
    dense = next((data.result(key) for key in found.loc[points.is_dense(found), "key"]), None)
    table = latency.speeds(point.result, dense)
    if table.empty:
        return []
    caption = f"{point.name}: latency and memory on {point.result.variant.details.get('device', 'cpu')}, "
    caption += "prompts of 512 tokens, median of repeats; dense measured on the same kind of machine."
    return [widgets.show_table("explore_speed", table, caption, SPEED_FORMATS, file=point.file("speed"))]


ENDED = {
    "budget": "It ran to the end of its budget.",
    "no improvement": "It ended early, as the held-out loss got no better.",
    "cancelled": "It was cancelled; this is the best it had come to.",
}


def _trainings(point: Point) -> list[Item]:
    """Show how the losses went of each stage that trained."""
    variant = point.result.variant
    pairs = enumerate(zip(variant.stages, variant.stage_runs, strict=False))
    trained = [(place, stage, made["training"]) for place, (stage, made) in pairs if "training" in made]
    return [_training(point, *one, several=len(trained) > 1) for one in trained]


def _training(point: Point, place: int, stage: Stage, training: dict[str, Any], several: bool) -> Item:
    series = {"training": training["losses"], "held out": training["held_out"]}
    rows = pd.DataFrame(
        [(what, step, loss) for what, pairs in series.items() for step, loss in pairs],
        columns=["series", "step", "loss"],
    )
    caption = f"{point.name}: losses while it was trained on {stage.calibration}"
    caption += f" by stage {place + 1}, {stages.stage_name(stage)}. " if several else ". "
    caption += f"{training['steps']} steps, {training['tokens']:,} tokens; the weights of step {training['best_step']} "
    caption += "were kept. "
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
    """Show what one of the stages that report it did to each layer."""
    reports, chain = point.result.layers, point.result.variant.stages
    if not reports:
        return []
    choice = sorted({layer.stage for layer in reports})
    place = choice[-1]
    if len(choice) > 1:
        place = st.segmented_control(
            "Layers after",
            choice,
            default=place,
            required=True,
            format_func=lambda place: f"{place + 1}. {label(chain[place].method)}",
            key=f"explore_stage_{point.result.variant.key[:8]}",
        )
    shown = [layer for layer in reports if layer.stage == place]
    layers = pd.DataFrame([layer.model_dump() | {"bits": layer.bits} for layer in shown])
    kind = layers["error_kind"].iloc[0]
    measure = "bits" if quantises(chain[place]) else "sparsity"  # the zeros of rounded weights are codes
    titles = {"error": f"relative {kind} error", "bits": "bits per weight", "sparsity": "sparsity"}
    order = (measure, "error") if layers["bits"].nunique() > 1 else ("error", measure)
    choices = {titles[column]: column for column in order if layers[column].notna().any()}
    if not choices:
        return []
    title = st.segmented_control(
        "Layers by", list(choices), default=next(iter(choices)), required=True, key="explore_by"
    )
    what = {
        "output": "squared change of the layer's output on calibration text, relative to the output",
        "weight": "squared change of the weights, relative to the weights",
    }[kind]
    if chain[place].method in {method.name for method in RECONSTRUCTIONS}:
        what = "squared distance of the layer's output to the unmasked one's on calibration text, relative to that"
    caption = f"{point.name}: {title} of each linear layer, by block"
    caption += f", after stage {place + 1}, {stages.stage_name(chain[place])}." if len(chain) > 1 else "."
    if choices[title] == "error":
        caption += f" Error: {what}."
    notes = [f"{layer.name}: {layer.note}" for layer in shown if layer.note]
    alike = layers["note"].iloc[0] if layers["note"].nunique(dropna=False) == 1 else None
    item = widgets.show_chart(
        "explore_layers",
        lambda theme: figures.layer_heatmap(layers, theme, choices[title], title.capitalize()),
        caption,
        layers[["name", "block", "role", measure, "error", "error_kind", "damping", "seconds", "note"]],
        alt=f"Heat map of {title} by block and layer role",
        file=point.file("layers"),
    )
    if alike:
        st.caption(f"Of all layers: {alike}.")
    elif notes:
        with st.expander(f"{len(notes)} notes of the method"):
            st.markdown("\n".join(f"- {note}" for note in notes))
    return [item]


def _export(result: Result) -> None:
    """Let the variant be written for other programs, by a job like any other."""
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
            form.check(variant)
        except UserError as error:
            st.warning(str(error))
            return
        # The inputs are another format's and point's with another key, so that they start from what fits that.
        own = f"{form.name}_{variant.key[:8]}"
        kind = st.selectbox(
            "Weights",
            list(form.types.values()),
            index=list(form.types.values()).index(form.default(variant)),
            format_func=lambda kind: size_of(result, form, kind),
            key=f"explore_precision_{own}",
            help=f"With the size on disk. The numbers here are of {precision_name(variant.dtype)}.",
        )
        proposed = Path.home() / f"{model_file(variant.model)}-{file_name(variant.stages)}-{variant.key[:8]}"
        folder = st.text_input("New folder on this machine", str(proposed), key=f"explore_folder_{own}")
        st.caption("With a card of its numbers. It is made again if it is not kept, then read by that program.")
        # Not a callback: that would get the folder of before a value that was typed just ahead of the click.
        if st.button("Save", type="primary", key="explore_save"):
            _queue_export(result, folder, form, kind)


def _queue_export(result: Result, folder: str, form: Format, kind: str) -> None:
    try:
        target = typed_path(folder)
        if not folder or not target.is_absolute():
            raise UserError("Give the whole path of the folder, such as /home/me/model.")
        check_save_folder(target)
        variant = variant_spec(result.variant)
        data.queue().submit(RunSpec(variant=variant, save=str(target), format=form.name, precision=kind))
    except UserError as error:
        st.toast(str(error), icon=":material/error:")
        return
    st.toast(f"Queued; the Run page shows how far it is. It will be in {target}, {size_of(result, form, kind)}.")


def _delete(key: str) -> None:
    try:
        data.store().delete(key)
    except UserError as error:
        st.toast(str(error))
        return
    data.show_now()
    st.session_state[POINT] = None
    st.toast("Deleted.")
