"""A point in the drawer: its files, its layers, the losses of its stages that trained, and the form that exports it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.base.paths import typed_path
from core.fields import Details
from core.findings.inside.layers import changed_layers, stages_of
from core.findings.rows import stages
from core.models.sources import identify_again
from core.notation.chain import file_name
from core.notation.formatting import capitalise, label
from core.request.complete import check_save_folder
from core.request.stages import variant_spec
from core.results import Result
from core.shipping.base import Format
from core.shipping.formats import FORMATS, find_format, size_of
from core.specs import RunSpec, Stage, precision_name
from dashboard import data
from dashboard.charts.curve import loss_curve
from dashboard.charts.matrices import layer_heatmap
from dashboard.exports.files import Item, export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.sensitivity import show_notes

ENDED = {
    "budget": "Training used its whole budget.",
    "no improvement": "Training stopped early because the held-out loss no longer improved.",
    "cancelled": "Training was cancelled; the variant has the best weights until then.",
}


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
        place = st.segmented_control(
            "Layers after stage",
            choice,
            default=place,
            required=True,
            format_func=lambda place: f"{place + 1}. {label(chain[place].method)}",
            key=f"explore_stage_{point.result.variant.key[:8]}",
        )
    found = changed_layers(point.result, point.name, place)
    layers, measures = found.rows, {measure.title: measure for measure in found.measures}
    title = st.segmented_control(
        "Layers by", list(measures), default=next(iter(measures)), required=True, key="explore_by"
    )
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


def offer_export(result: Result) -> None:
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
            source = identify_again(variant.model, variant.revision)
            form.check(variant, source)
        except UserError as error:
            st.warning(str(error))
            return
        # A key for each format and point, so that the inputs start from their defaults.
        own = f"{form.name}_{variant.key[:8]}"
        kind = st.selectbox(
            "Weights",
            list(form.types.values()),
            index=list(form.types.values()).index(form.default(variant)),
            format_func=lambda kind: size_of(result, source, form, kind),
            key=f"explore_precision_{own}",
            help=f"Sizes are on disk; the results on this page are of {precision_name(variant.dtype)}.",
        )
        proposed = Path.home() / f"{variant.model.replace('/', '-')}-{file_name(variant.stages)}-{variant.key[:8]}"
        folder = st.text_input("New folder on this machine", str(proposed), key=f"explore_folder_{own}")
        st.caption("The job recomputes the model if it is not cached, adds a model card and runs the export check.")
        # Not a callback, which would miss a value typed just before the click.
        if st.button("Save", type="primary", key="explore_save"):
            _queue_export(result, folder, form, kind, size_of(result, source, form, kind))


def _queue_export(result: Result, folder: str, form: Format, kind: str, size: str) -> None:
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
    st.toast(f"Queued; the Run page shows its progress. It writes {target}, {size}.")
