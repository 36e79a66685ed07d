"""Layer sensitivity: the rise of the loss when one block, or linear, alone is compressed.

Each part is compressed on the output of the unmodified blocks before it, in one pass over the calibration sequences.
Other sequences measure the loss. They run from the compressed block on, so all parts of a block share its input. The
losses of each part are cached at once, so that an interrupted scan resumes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.paths import cache_dir
from core.cache.folders import read_small, write_small
from core.cache.shelf import trying
from core.context import Context, StageInput
from core.engine.walking.walker import make_walker
from core.evaluation.perplexity import window_losses
from core.methods.cost import unread
from core.methods.linear import LinearMethod, Statistics, Target
from core.models.parts.blocks import Blocks, Linear, by_block, move
from core.models.parts.products import quick_products
from core.models.parts.recorder import Recorder
from core.specs import ScanUnit, canonical_json, sha256

VERSION = 1  # of the definition of the losses
WHOLE = ""  # name of the losses without any compression
Losses = list[float]  # one per sequence: mean cross-entropy of its tokens after the first, in nats


def split(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Split two or more sequences (N, L) into those for calibration and those for losses."""
    last = unread(len(windows))
    return windows[:-last], windows[-last:]


def group_linears(linears: Sequence[Linear], blocks: Blocks, by: ScanUnit) -> dict[str, list[Linear]]:
    """Group linears by part; the keys are the names of the parts."""
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
    """Measure the loss rise of each part when `method` compresses it alone; the model is unchanged afterwards.

    `given` has the calibration sequences, (N, L), which `split` divides. Returns the rise on each sequence not used for
    calibration, in nats per token, by name of the part: a block or a linear.
    """
    blocks = given.blocks
    groups = group_linears(linears, blocks, by)
    cache = _LossCache(given, method, target)
    known = {name: losses for name in (WHOLE, *groups) if (losses := cache.read(name)) is not None}
    missing = [name for name in groups if name not in known]
    context.progress("scan", len(groups) - len(missing), len(groups), "")
    if WHOLE in known and not missing:
        return _rises(known, groups)
    calibration, others = split(given.calibration)
    move(model, context.device)
    tail = _Tail(model, blocks, others, context.device)
    if WHOLE not in known:
        known[WHOLE] = cache.write(WHOLE, tail.losses(0))
    changed: list[tuple[Linear, Tensor]] = []

    def compress(linear: Linear, statistics: Statistics, sample: Tensor | None) -> None:
        changed.append((linear, linear.weight.clone()))
        own = replace(target, zeros=linear.zeros)
        if method.draws:
            statistics = replace(statistics, generator=method.generator(linear.name))
        compressed = method.compress(linear.weight.to(torch.float32, copy=True), statistics, own)
        linear.set_weight(compressed.weight)

    def measure(index: int) -> None:
        name = missing[index]
        known[name] = cache.write(name, tail.losses(groups[name][0].block))
        while changed:
            linear, weight = changed.pop()
            linear.set_weight(weight)
        context.progress("scan", len(known) - 1, len(groups), name)

    sums = method.required_statistics
    if any(sums(linear.role) for linear in linears):
        walker = make_walker(model, blocks, calibration, sums, context, list(linears), method.true_sequential)
        walker.compress_each_alone([groups[name] for name in missing], compress, measure)
    else:
        for index, name in enumerate(missing):
            with trying(context.shelf, blocks.holder[groups[name][0].block]):
                for linear in groups[name]:
                    compress(linear, Statistics(0, {}), None)
                measure(index)
    return _rises(known, groups)


def _rises(losses: Mapping[str, Losses], parts: Iterable[str]) -> dict[str, Losses]:
    whole = losses[WHOLE]
    return {name: [one - other for one, other in zip(losses[name], whole, strict=True)] for name in parts}


class _Tail:
    """Losses on sequences (N, L) that run from one block on; the unmodified blocks before it run once."""

    def __init__(self, model: PreTrainedModel, blocks: Blocks, windows: Tensor, device: torch.device):
        self.model, self.blocks, self.windows, self.device = model, blocks, windows, device
        self.recorder = Recorder(model, blocks, device)
        self.recordings = self.recorder.record(windows.split(1))
        self.place = 0  # index of the block that the hidden states enter

    def losses(self, index: int) -> Losses:
        """Compute the losses with the current blocks from `index` on, which must not decrease between calls."""
        while self.place < index:
            block = self.blocks.holder[self.place]
            with quick_products(self.model.dtype):
                for one in self.recordings:
                    one.hidden = one.calls[self.place].to(self.device).run(block, one.hidden)
            self.place += 1
        losses: Losses = []
        for one, window in zip(self.recordings, self.windows.split(1), strict=True):
            with self.recorder.entered(index, one.hidden):
                losses += window_losses(self.model, window.to(self.device))
        return losses


class _LossCache:
    """Losses of a scan in the user cache, one small file per part."""

    def __init__(self, given: StageInput, method: LinearMethod, target: Target):
        tokens = hashlib.sha256(given.calibration.cpu().numpy().tobytes()).hexdigest()
        settings = [
            method.name,
            method.result_version,
            method.parameters.model_dump(),
            target.ratio,
            target.pattern,
            target.bits,
        ]
        self.input_key = given.input_key
        self.settings = canonical_json([VERSION, tokens, list(given.calibration.shape), *settings])

    def read(self, part: str) -> Losses | None:
        content = read_small(self._path(part)) if self.input_key else None
        return None if content is None else json.loads(content)

    def write(self, part: str, losses: Losses) -> Losses:
        if self.input_key:
            write_small(self._path(part), json.dumps(losses).encode())
        return losses

    def _path(self, part: str) -> Path:
        return cache_dir() / "scans" / sha256(self.input_key or "", self.settings, part)
