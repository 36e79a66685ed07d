"""A point in the drawer: its name and files, its layers, and the loss curves of its stages that trained."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.fields import Details
from core.findings.inside.layers import changed_layers, stages_of
from core.findings.rows import stages
from core.notation.chain import file_name
from core.notation.formatting import capitalise, label
from core.results import Result
from core.specs import Stage
from dashboard import data
from dashboard.charts.elements import figures
from dashboard.charts.layers.heatmap import layer_heatmap
from dashboard.exports.files import Item
from dashboard.exports.names import export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.variants.notes import show_notes

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
        lambda theme: figures.loss_curve(rows, theme),
        caption,
        rows,
        alt="Training and held-out loss by step",
        file=point.file(f"training{ending}"),
    )
