"""Texts of amounts, numbers, durations and variants, for the command line and the dashboard."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from core.amount import Amount
from core.base.errors import UserError
from core.notation.chain import DENSE, ChainDefaults, common_defaults
from core.registry import data_requirement, get_stage, settings_of
from core.specs import EXTERNAL, Scalar, Stage

# Pairs of stages that a paper treats as one method, named after the second; the first has default parameters.
PAPERS = {("magnitude", "adaprune")}


class LabelPart(NamedTuple):
    """One stage of a chain, or a pair of stages with one name."""

    name: str  # of the stage that gives label and style, or of an external variant `imported:LABEL`
    stages: tuple[Stage, ...]

    @property
    def removing(self) -> Stage | None:
        """The first of its stages that removes weights, or None."""
        return next((stage for stage in self.stages if stage.removes), None)


def format_amount(amount: Amount | None) -> str:
    """Format an amount: `50 %`, `2:4`, `4 bit`, `2x` or `nothing removed`."""
    return amount.label if amount else "nothing removed"


def format_number(value: float) -> str:
    """Format a number with two or three digits: `20.1`, `134`, `1.2e5`."""
    if not math.isfinite(value):
        return "∞" if value > 0 else str(value)
    if value >= 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def format_fewshot(fewshot: str | float) -> str:
    """Format a protocol's few-shot examples: `4-shot (selector=nearest)`."""
    k, _, how = str(fewshot).partition(",")
    return f"{k}-shot" + (f" ({how})" if how else "")


def format_duration(seconds: float) -> str:
    """Format a rough duration: `about 20 s`, `about 6 min`, `about 2.5 h`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def format_durations(low: float, high: float) -> str:
    """Format a rough range of durations: `about 20 s to 3 min`, `about 6 to 9 min`, `about 6 min`."""
    first, last = format_duration(low), format_duration(high).removeprefix("about ")
    if first.endswith(last):
        return first
    number, unit = first.rsplit(" ", 1)
    return f"{number if last.endswith(f' {unit}') else first} to {last}"


def capitalise(text: str) -> str:
    """Return a text with a capital first letter; the other letters, such as those of names, stay."""
    return text[:1].upper() + text[1:]


def label(name: str) -> str:
    """Return the display label of a chain's part; the name itself if this version lacks the stage."""
    origin, _, external = name.partition(":")
    if origin in EXTERNAL:
        return external
    try:
        return get_stage(name).label
    except UserError:
        return name


def label_parts(stages: Sequence[Stage]) -> list[LabelPart]:
    """Split a chain into the parts of its name; a chain that removes nothing starts with the dense model."""
    remaining = [stage for stage in stages if stage.method != DENSE]
    if any(stage.is_external for stage in stages):
        return [LabelPart(f"{stage.method}:{stage.parameters['label']}", (stage,)) for stage in stages]
    found = [] if any(stage.removes for stage in remaining) else [LabelPart(DENSE, ())]
    while remaining:
        first, *after = remaining
        plain = not non_default_parameters(first) and first.layers is None
        pair = bool(after) and plain and (first.method, after[0].method) in PAPERS
        part = tuple(remaining[: 1 + pair])
        found.append(LabelPart(part[-1].method, part))
        remaining = remaining[len(part) :]
    return found


def chain_name(stages: Sequence[Stage]) -> str:
    """Name a chain: `SparseGPT, 50 %, then LoRA (minutes 5.0)`."""
    defaults, phrases = common_defaults(stages), []
    for place, part in enumerate(label_parts(stages)):
        name = _with(label(part.name), _settings(part, defaults))
        phrases.append(f"then {name}" if place else name + _source(stages))
        if removing := part.removing:
            phrases.append(format_amount(removing.amount))
    return ", ".join(phrases)


def non_default_parameters(stage: Stage) -> list[str]:
    """Format the parameters that differ from their defaults; none of an external stage, whose name is its label."""
    if stage.is_external:
        return []
    try:
        fields = get_stage(stage.method).Parameters.model_fields
    except UserError:
        fields = {}
    found = []
    for name, value in settings_of(stage).items():
        if name not in fields or value != fields[name].default:
            found.append(parameter_words(name, value))
    return found


def parameter_words(name: str, value: Scalar) -> str:
    """Format a parameter: `group size 64`, `clip on`."""
    shown = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
    return f"{name.replace('_', ' ')} {shown}"


def _source(stages: Sequence[Stage]) -> str:
    """Return the origin of an external chain in brackets; empty for others."""
    return f" ({stages[0].method})" if stages[0].is_external else ""


def _settings(part: LabelPart, defaults: ChainDefaults) -> list[str]:
    """Format the settings of a part: parameters, layers, and the text and seed that are not chain defaults."""
    found = []
    for stage in part.stages:
        found += non_default_parameters(stage)
        if stage.layers:
            found.append(f"layers {stage.layers}")
        if stage.calibration and defaults.text(data_requirement(stage)) is None:
            found.append(str(stage.calibration))
        if stage.seed is not None and defaults.seed is None:
            found.append(f"seed {stage.seed}")
    return found


def _with(name: str, settings: Sequence[str]) -> str:
    return f"{name} ({', '.join(settings)})" if settings else name
