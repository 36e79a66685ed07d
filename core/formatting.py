"""Amounts, numbers, times and variants in words, the same on the command line and in the dashboard."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from core.chain import DENSE, ChainDefaults, shared
from core.errors import UserError
from core.registry import data_requirement, get_stage, settings_of
from core.specs import EXTERNAL, Stage, VariantSpec, parse_bits

# Two stages in a row, the first as it is by default, that a paper knows under one name: that of the second.
PAPERS = {("magnitude", "adaprune")}


class LabelPart(NamedTuple):
    """One stage of a chain, or two that people know under one name."""

    name: str  # of the stage whose label and look it has; `imported:LABEL`, say, of what was made elsewhere
    stages: tuple[Stage, ...]

    @property
    def removing(self) -> Stage | None:
        """The stage of it that removes anything."""
        return next((stage for stage in self.stages if stage.removes), None)


def format_amount(ratio: float | None, pattern: str | None) -> str:
    """Write how much was removed: `50 %`, `2:4`, `4 bit`, `2x`, or `nothing removed`. What a table lacks may be NaN."""
    if isinstance(pattern, str):
        bits = parse_bits(pattern)
        return pattern if bits is None else f"{bits} bit"
    return "nothing removed" if ratio is None or math.isnan(ratio) else f"{100 * ratio:g} %"


def format_number(value: float) -> str:
    """Write a number with three digits: 20.1, 134, 1.2e5."""
    if not math.isfinite(value):
        return "∞" if value > 0 else str(value)
    if value >= 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def format_fewshot(told: str | float) -> str:
    """Write how many demonstrations a protocol names, and how they are chosen: `4-shot (selector=nearest)`."""
    k, _, how = str(told).partition(",")
    return f"{k}-shot" + (f" ({how})" if how else "")


def format_duration(seconds: float) -> str:
    """Write a rough time: `about 20 s`, `about 6 min`, `about 2.5 h`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def label(name: str) -> str:
    """Return what people call a part of a chain; a stage of another version goes by its name."""
    told, _, said = name.partition(":")
    if told in EXTERNAL:
        return said
    try:
        return get_stage(name).label
    except UserError:
        return name


def label_parts(stages: Sequence[Stage]) -> list[LabelPart]:
    """Return what a chain is said to be made of; where nothing removes anything, that begins with the dense model."""
    left = [stage for stage in stages if stage.method != DENSE]
    if any(stage.is_external for stage in stages):
        return [LabelPart(f"{stage.method}:{stage.parameters['label']}", (stage,)) for stage in stages]
    found = [] if any(stage.removes for stage in left) else [LabelPart(DENSE, ())]
    while left:
        first, *after = left
        plain = not non_default_parameters(first) and first.layers is None
        pair = bool(after) and plain and (first.method, after[0].method) in PAPERS
        taken = tuple(left[: 1 + pair])
        found.append(LabelPart(taken[-1].method, taken))
        left = left[len(taken) :]
    return found


def series_name(stages: Sequence[Stage], dtype: str = "float32", trainings: bool = False) -> str:
    """Name all variants that differ in the last amount only: `Wanda`, `AdaPrune 20 % + AdaPrune`, `SlimLLM + LoRA`.

    What differs from the defaults stands in brackets; with `trainings` also that of stages that remove nothing.
    """
    found, beside = label_parts(stages), shared(stages)
    last = max((place for place, part in enumerate(found) if part.removing), default=None)
    names = []
    for place, part in enumerate(found):
        name, removing = label(part.name), part.removing
        if removing and place != last:
            name += f" {format_amount(removing.ratio, removing.pattern)}"
        told = _told(part, beside, trainings)
        names.append(_with(name, told if place or dtype == "float32" else [*told, dtype]))
    return " + ".join(names) + _source(stages)


def variant_name(variant: VariantSpec, model: str) -> str:
    """Name a variant of what a model is called: `SparseGPT, 50 %, then LoRA, smollm2-135m, seed 1`."""
    seed = shared(variant.stages).seed
    return ", ".join([chain_name(variant.stages), model, *([f"seed {seed}"] if seed else [])])


def chain_name(stages: Sequence[Stage]) -> str:
    """Name what a chain does: `SparseGPT, 50 %, then LoRA (minutes 5.0)`."""
    beside, said = shared(stages), []
    for place, part in enumerate(label_parts(stages)):
        name = _with(label(part.name), _told(part, beside, trainings=True))
        said.append(f"then {name}" if place else name + _source(stages))
        if removing := part.removing:
            said.append(format_amount(removing.ratio, removing.pattern))
    return ", ".join(said)


def non_default_parameters(stage: Stage) -> list[str]:
    """Return the parameters that are not at their default, as words; a label is said already."""
    if stage.is_external:
        return []
    try:
        fields = get_stage(stage.method).Parameters.model_fields
    except UserError:
        fields = {}
    found = []
    for name, value in settings_of(stage).items():
        if name not in fields or value != fields[name].default:
            shown = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
            found.append(f"{name.replace('_', ' ')} {shown}")
    return found


def _source(stages: Sequence[Stage]) -> str:
    """Return who tells of a chain that was made elsewhere, in brackets."""
    return f" ({stages[0].method})" if stages[0].is_external else ""


def _told(part: LabelPart, beside: ChainDefaults, trainings: bool) -> list[str]:
    """Return what is said of a part in brackets: parameters, layers, text and seed if not beside the chain."""
    found = []
    for stage in part.stages:
        found += non_default_parameters(stage) if trainings or stage.removes else []
        if stage.layers:
            found.append(f"layers {stage.layers}")
        if stage.calibration and beside.text(data_requirement(stage)) is None:
            found.append(str(stage.calibration))
        if stage.seed is not None and beside.seed is None:
            found.append(f"seed {stage.seed}")
    return found


def _with(name: str, told: Sequence[str]) -> str:
    return f"{name} ({', '.join(told)})" if told else name
