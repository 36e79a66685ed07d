"""Loss curves of the stages of a point that trained."""

from __future__ import annotations

import pandas as pd

from core.fields import Details
from core.findings.rows import stages
from core.specs import Stage
from dashboard.charts.elements import figures
from dashboard.explore.point.shown import Point
from dashboard.exports.files import Item
from dashboard.shared import widgets

ENDED = {
    "budget": "Training used its whole budget.",
    "no improvement": "Training stopped early because the held-out loss no longer improved.",
    "cancelled": "Training was cancelled; the variant has the best weights until then.",
}


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
