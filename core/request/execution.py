"""Whether a run has its model in memory or streams it block by block, by its memory budget; imports no torch."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import psutil
from pydantic import ByteSize, TypeAdapter, ValidationError

from core.base.errors import UserError, echo
from core.base.memory import ACTIVATION_SHARE, HELD_BYTES
from core.cache.folders import CACHE_BYTES
from core.methods.base import Method
from core.models.shape import ModelShape
from core.registry import build_method
from core.specs import BYTES, ZERO_SHOT, RunSpec, Stage
from core.store.slots import slots

PROCESS_BYTES = 800e6  # of the libraries
LEAST_BYTES = 5 * 10**8  # of the libraries without a model
SHARE = 0.8  # of the free memory for all slots, if no budget is stated
VARIABLE = "SLIMSCOPE_MEMORY"


class Execution(NamedTuple):
    """How a run uses memory and, if it streams, the disk, in bytes."""

    budget: int
    whole: int  # estimated peak with the whole model in memory
    streamed: int | None  # estimated peak block by block; None if the run cannot stream
    disk: int = 0  # that streaming needs
    obstacle: str = ""  # what needs the whole model, if the run cannot stream
    stated: bool = False  # whether the user stated the budget

    @property
    def streams(self) -> bool:
        """Whether the run streams its model, because the whole model exceeds the budget."""
        return self.streamed is not None and self.whole > self.budget

    @property
    def reason(self) -> str:
        """Why the run streams its model; empty if it does not."""
        if not self.streams:
            return ""
        sizes = self.whole, self.budget, max(self.disk, 1e8)
        needed, budget, disk = (f"{size / 1e9:.1f} GB" for size in sizes)
        return (
            f"The model streams from disk, block by block: the whole needs {needed}, and the budget is {budget}. "
            f"It takes up to {disk} of disk meanwhile."
        )

    @property
    def refusal(self) -> str:
        """Why the run exceeds a stated budget and cannot stream; empty if it can run."""
        if not self.stated or self.streamed is not None or self.whole <= self.budget:
            return ""
        needed, budget = (f"{size / 1e9:.1f} GB" for size in (self.whole, self.budget))
        return (
            f"This run needs {needed} of memory, but its budget is {budget}. It cannot stream its model from disk, "
            f"because {self.obstacle} needs the whole model in memory."
        )

    @property
    def peak(self) -> int:
        """The estimated peak memory."""
        return self.streamed if self.streams and self.streamed is not None else self.whole


def parse_memory(text: str, name: str = "--memory") -> int:
    """Parse a memory budget such as `6GB`; a `UserError` that names its source if it is invalid."""
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise UserError(f"{name} is {echo(text)}, not a size such as 6GB or 500MB.") from None
    if size < LEAST_BYTES:
        raise UserError(f"{name} is {echo(text)}, but a run needs at least {LEAST_BYTES / 1e6:.0f} MB.")
    return int(size)


def stated_memory(stated: int | None) -> int | None:
    """Return the bytes that a run may take at most: the stated ones, or `SLIMSCOPE_MEMORY`; None without either."""
    text = os.environ.get(VARIABLE)
    return parse_memory(text, VARIABLE) if stated is None and text else stated


def memory_budget(stated: int | None) -> int:
    """Return the bytes that a run may take: those of `stated_memory`, or a share of the free memory."""
    own = stated_memory(stated)
    return int(SHARE * psutil.virtual_memory().available / slots()) if own is None else own


def choose_execution(spec: RunSpec, stages: Sequence[Stage], shape: ModelShape) -> Execution:
    """Choose the execution of a run that computes `stages` of its variant."""
    item = BYTES[spec.variant.dtype]
    size = shape.parameters * item
    budget = memory_budget(spec.memory)
    methods = [build_method(stage) for stage in stages]
    extra = [method.memory(shape, stage.calibration, item) for method, stage in zip(methods, stages, strict=True)]
    measured = []
    if spec.tasks and spec.scoring_dtype != spec.variant.dtype:
        measured.append(shape.parameters * BYTES[spec.scoring_dtype])  # a copy of the weights
    if any(task.fewshot != ZERO_SHOT for task in spec.tasks):
        measured.append(shape.parameters * BYTES["float32"])  # the dense model selects examples
    if spec.save:  # the export check loads the export in another process
        measured.append(round(PROCESS_BYTES + size))
    whole = round(PROCESS_BYTES + size + max([*extra, *measured], default=0))
    if obstacle := _obstacle(spec, methods, shape):
        return Execution(budget, whole, None, 0, obstacle, stated_memory(spec.memory) is not None)
    block = shape.block_weights // shape.blocks
    held = max((text.window * (text.windows or 1) * shape.hidden * item for text in spec.perplexity), default=0)
    if spec.tasks:
        held = HELD_BYTES
        measured.append(round(PROCESS_BYTES + HELD_BYTES + 4 * shape.vocabulary * shape.hidden))  # the head in fp32
    # A block in its precision and in fp32, what its methods need, and the hidden states of a measurement.
    own = PROCESS_BYTES + block * (item + 4) + min(held, HELD_BYTES)
    needed = moved = 0.0
    for method, stage in zip(methods, stages, strict=True):
        text = stage.calibration
        most = method.memory(shape, text, item, streams=True)
        least = method.memory(shape, text and text.model_copy(update={"windows": 1}), item, streams=True)
        room = ACTIVATION_SHARE * max(0, budget - own - least)  # for paused sequences; the others lie on disk
        needed = max(needed, least + min(most - least, room))
        states = 2 * text.windows * text.window * shape.hidden * item if text else 0  # before and after a block
        moved = max(moved, states + max(0, most - least - room))  # with the paused sequences without room
    disk = 0.0
    if stages:  # the finished blocks, and the variants of all stages as far as the cache keeps them
        disk = moved + shape.block_weights * item + max(size, min(len(stages) * size, CACHE_BYTES))
    if shape.is_mixture:  # a copy with separate experts, and the stacked ones while it is written
        disk += 2 * size
    return Execution(budget, whole, round(max([own + needed, *measured])), round(disk))


def _obstacle(spec: RunSpec, methods: Sequence[Method], shape: ModelShape) -> str:
    """Return what needs the whole model in memory; empty if a run can stream it."""
    if spec.latency:
        return "the latency"
    if spec.scan:
        return "the sensitivity scan"
    if spec.tasks and spec.scoring_dtype != spec.variant.dtype:
        return f"scoring in {spec.scoring_dtype}"
    if any(task.fewshot != ZERO_SHOT for task in spec.tasks):
        return "the choice of examples"
    if shape.blocks < 2:
        return "a model without several blocks"
    return next((method.label for method in methods if not method.streams), "")
