"""How much each part of a model matters: one block, or linear, compressed at a time, and the rest left as it is.

Every part is compressed on what the untouched blocks before it give, in one walk over the calibration windows. The
windows that losses are read on run from the compressed block on; what goes into it they share. Each part's losses are
kept as they are found, so that a scan that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.cache.folders import read_small, write_small
from core.context import Context, StageInput
from core.engine.recorder import Recorder
from core.engine.walk_modes import make_walker
from core.evaluation.linears import QuickLinears
from core.evaluation.perplexity import window_losses
from core.methods.cost import unread
from core.methods.inputs import Statistics, Target
from core.methods.linear import LinearMethod
from core.models.parts.blocks import Blocks, Linear, by_block, find_blocks, first, move
from core.paths import cache_dir
from core.specs import ScanUnit, canonical_json, sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VERSION = 1  # of what the losses mean
WHOLE = ""  # the name of what no part of is compressed
Losses = list[float]  # a window each: the mean cross-entropy of its tokens after the first, in nats


def split(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the windows (N, L), two or more, that a scan calibrates on, and those that it reads losses on."""
    last = unread(len(windows))
    return windows[:-last], windows[-last:]


def group_linears(linears: Sequence[Linear], blocks: Blocks, by: ScanUnit) -> dict[str, list[Linear]]:
    """Return the linears of each part by its name."""
    if by == "linear":
        return {linear.name: [linear] for linear in linears}
    return {f"{blocks.name}.{index}": members for index, members in by_block(linears).items()}


@torch.no_grad()
def measure_sensitivity(
    model: PreTrainedModel,
    method: LinearMethod,
    target: Target,
    linears: Sequence[Linear],
    given: StageInput,
    context: Context,
    by: ScanUnit = "block",
) -> dict[str, Losses]:
    """Return by part how much more the model loses on each unread window where `method` compresses that alone.

    `target` is what each linear of a part is compressed to; the given windows (N, L) are `split`.
    """
    blocks = find_blocks(model)
    groups = group_linears(linears, blocks, by)
    kept = _Kept(given, method, target)
    found = {name: losses for name in (WHOLE, *groups) if (losses := kept.read(name)) is not None}
    missing = [name for name in groups if name not in found]
    context.progress("scan", len(groups) - len(missing), len(groups), "")
    if WHOLE in found and not missing:
        return _rises(found, groups)
    read, others = split(given.windows)
    move(model, context.device)
    tail = _Tail(model, blocks, others, context.device)
    if WHOLE not in found:
        found[WHOLE] = kept.write(WHOLE, tail.losses(0))
    changed: list[tuple[Linear, Tensor]] = []

    def compress(linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
        changed.append((linear, linear.weight.clone()))
        own = replace(target, zeros=linear.zeros)
        if method.draws:
            statistics = replace(statistics, generator=method.generator(linear.name))
        linear.set_weight(method.compress(linear.weight.to(torch.float32, copy=True), statistics, own).weight)

    def look(place: int) -> None:
        name = missing[place]
        found[name] = kept.write(name, tail.losses(groups[name][0].block))
        while changed:
            linear, weight = changed.pop()
            linear.set_weight(weight)
        context.progress("scan", len(found) - 1, len(groups), name)

    if any(method.required_statistics(linear.role) for linear in linears):
        walker = make_walker(
            model, blocks, read, method.required_statistics, context.device, list(linears), method.true_sequential
        )
        walker.compress_each_alone([groups[name] for name in missing], compress, look)
    else:
        for place, name in enumerate(missing):
            for linear in groups[name]:
                compress(linear, Statistics(0, {}), None)
            look(place)
    return _rises(found, groups)


def _rises(losses: Mapping[str, Losses], parts: Iterable[str]) -> dict[str, Losses]:
    whole = losses[WHOLE]
    return {name: [one - other for one, other in zip(losses[name], whole, strict=True)] for name in parts}


class _Tail:
    """What a model loses on windows (N, L) from one block on; those before it run once, as they are."""

    def __init__(self, model: PreTrainedModel, blocks: Blocks, windows: Tensor, device: torch.device):
        self.model, self.blocks, self.windows, self.device = model, blocks, windows, device
        self.recorder = Recorder(model, blocks, device)
        self.recordings = self.recorder.record(windows.split(1))
        self.place = 0  # the block that the hidden states go into

    def losses(self, index: int) -> Losses:
        """Return the losses with the blocks from `index` on as they now are; no index may be below an earlier one."""
        while self.place < index:
            block = self.blocks.holder[self.place]
            with QuickLinears():
                for one in self.recordings:
                    call = one.calls[self.place].to(self.device)
                    one.hidden = first(block(one.hidden, *call.args, **call.kwargs))
            self.place += 1
        found: Losses = []
        for one, window in zip(self.recordings, self.windows.split(1), strict=True):
            with self.recorder.entered(index, one.hidden):
                found += window_losses(self.model, window.to(self.device))
        return found


class _Kept:
    """The losses of a scan in the user cache, a small file a part."""

    def __init__(self, given: StageInput, method: LinearMethod, target: Target):
        tokens = hashlib.sha256(given.windows.cpu().numpy().tobytes()).hexdigest()
        how = [
            method.name,
            method.result_version,
            method.parameters.model_dump(),
            target.ratio,
            target.pattern,
            target.bits,
        ]
        self.before, self.what = given.input_key, canonical_json([VERSION, tokens, list(given.windows.shape), *how])

    def read(self, part: str) -> Losses | None:
        content = read_small(self._path(part)) if self.before else None
        return None if content is None else json.loads(content)

    def write(self, part: str, losses: Losses) -> Losses:
        if self.before:
            write_small(self._path(part), json.dumps(losses).encode())
        return losses

    def _path(self, part: str) -> Path:
        return cache_dir() / "scans" / sha256(self.before or "", self.what, part)
