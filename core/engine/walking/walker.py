"""The block walker: sequential calibration, block by block, each on the output of the compressed blocks before it.

A forward pre-hook on each linear accumulates the statistics of its whole calibration input. It then compresses the
linear in place, and the forward pass continues with the compressed weight. So a block runs once, and its statistics
come from the inputs that the compressed model has. The sequences run in micro-batches. Each micro-batch is a coroutine
(greenlet) that pauses in the pre-hook until all others arrive.

If the live activations do not fit in memory, each group of linears gets its own pass over block inputs on disk
(`spill`). With `true_sequential=False`, as in the papers' code, one pass collects the statistics of the block before
its compression, and another pass computes its output.

References: Frantar & Alistarh, 2023 (arXiv:2301.00774), section 3; Sun et al., 2023 (arXiv:2306.11695), section 3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from core.cache.shelf import Shelf
from core.engine.walking.collector import Collector, SumsOf
from core.methods.inputs import Statistics
from core.models.parts.blocks import Blocks, Linear, by_block, first
from core.models.parts.recorder import Call, Recorder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLED_TOKENS = 512  # approximate number of a linear's inputs for the output error in the layer report

# compress(linear, statistics, sample) compresses in place; `sample` is (tokens, in), evenly spaced inputs, or None.
Compress = Callable[[Linear, Statistics, Tensor | None], None]
WalkMode = Literal["batch", "micro", "spill"]


@dataclass
class _Group:
    """Linears of a block with the same input: q, k and v, or gate and up."""

    collector: Collector
    arrived: int = 0
    ready: tuple[Statistics, Tensor] | None = None


class _HaltError(Exception):
    """End of a partial pass, at the first linear of the next group."""


class Walker:
    """Sequential calibration of a model's blocks.

    Args:
        model: The model to calibrate.
        blocks: Its blocks.
        tokens: Calibration data, (sequences, length).
        sums: Maps the role of a linear to the sums to collect of its input.
        device: Where the blocks run.
        form: One batch of all sequences (`batch`), micro-batches in memory (`micro`) or on disk (`spill`).
        batch: Sequences per micro-batch in the modes `micro` and `spill`.
        true_sequential: Whether earlier linears of the block are compressed before a linear's statistics are collected.
        shelf: Receives each block that `walk` and `change` have left; None keeps the blocks in memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        blocks: Blocks,
        tokens: Tensor,
        sums: SumsOf,
        device: torch.device,
        form: WalkMode = "micro",
        batch: int = 1,
        true_sequential: bool = True,
        shelf: Shelf | None = None,
    ):
        self.blocks, self.sums, self.device, self.form = blocks, sums, device, form
        self.true_sequential, self.shelf = true_sequential, shelf
        self.recorder = Recorder(model, blocks, device)
        size = len(tokens) if form == "batch" else batch
        # Odd, so that the sample covers all positions in a sequence: first tokens have very large activations.
        self.stride = tokens.numel() // SAMPLED_TOKENS | 1
        recordings = self.recorder.record(tokens.split(size))
        self.hidden = [recording.hidden for recording in recordings]  # one per micro-batch
        self.calls = [recording.calls for recording in recordings]  # [micro-batch][block]
        if form == "spill":
            self.hidden = [_spill(hidden) for hidden in self.hidden]

    @property
    def n_micro_batches(self) -> int:
        """The number of micro-batches."""
        return len(self.hidden)

    @torch.no_grad()
    def walk(self, selected: Sequence[Linear], compress: Compress, after: Callable[[int], None] | None = None) -> None:
        """Compress the selected linears in place, block by block, up to the last block with a selected linear.

        `after` receives the index of each block that has run, and may change the block's shape.
        """
        chosen = by_block(selected)
        for index in range(max(chosen) + 1):
            block = self.blocks.holder[index]
            home = self._enter(block)
            linears = chosen.get(index, [])
            if linears:
                self._compress(index, linears, compress, last=index == max(chosen))
            else:
                self._forward(index)
            if after:
                after(index)
            self._leave(block, home)

    @torch.no_grad()
    def compress_each_alone(
        self, groups: Sequence[Sequence[Linear]], compress: Compress, look: Callable[[int], None]
    ) -> None:
        """Compress one group of linears at a time, on the output of the unmodified blocks before it.

        The linears of a group belong to one block. `look` receives the index of the compressed group, and must
        restore its weights.
        """
        places: dict[int, list[int]] = {}  # indices of groups, by block
        for place, group in enumerate(groups):
            places.setdefault(group[0].block, []).append(place)
        for index in range(max(places) + 1):
            block = self.blocks.holder[index]
            home = next(block.parameters()).device
            block.to(self.device)
            for place in places.get(index, []):
                self._compress(index, groups[place], compress, last=True)
                look(place)
            if index < max(places):
                self._forward(index)
            block.to(home)

    @torch.no_grad()
    def observe(self, look: Callable[[int, Tensor, Tensor], None]) -> None:
        """Run the unmodified blocks; `look(index, inputs, outputs)` receives their hidden states by micro-batch."""
        for index, block in enumerate(self.blocks.holder):
            home = next(block.parameters()).device
            block.to(self.device)
            for part in range(len(self.hidden)):
                output = self._run(index, part)
                look(index, self.hidden[part].to(self.device), output)
                self._set_hidden(part, output)
            block.to(home)

    @torch.no_grad()
    def change(
        self, change: Callable[[int, Callable[[int], Tensor], Sequence[Tensor]], None], dense: bool = False
    ) -> None:
        """Call `change(index, run, unchanged)` for each block, which changes the block in place.

        `run(part)` computes the block's output on a micro-batch, from the outputs of the changed blocks and with the
        block's current weights. With `dense`, `unchanged` contains the output of this block for each micro-batch
        before any block was changed; otherwise it is empty.
        """
        unchanged = [hidden.clone() for hidden in self.hidden] if dense else []
        for index, block in enumerate(self.blocks.holder):
            home = self._enter(block)
            unchanged = [self._run(index, part, hidden) for part, hidden in enumerate(unchanged)]
            change(index, partial(self._run, index), unchanged)
            if index + 1 < len(self.blocks.holder):
                self._forward(index)
            self._leave(block, home)

    def _enter(self, block: nn.Module) -> torch.device:
        """Bring a block that changes to the device, and return where it was."""
        home = next(block.parameters()).device
        if self.shelf and home == self.device:
            self.shelf.take(block)
        block.to(self.device)
        return home

    def _leave(self, block: nn.Module, home: torch.device) -> None:
        if self.shelf:
            self.shelf.put(block)
        block.to(home)

    def _compress(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """Compress linears of one block, and store the block's output unless it is the `last`."""
        if not self.true_sequential:
            self._two_passes(index, linears, compress, last)
        elif self.form == "spill":
            self._group_passes(index, linears, compress, last)
        else:
            self._coroutines(index, linears, compress, last)

    def _call(self, index: int, part: int) -> Call:
        return self.calls[part][index].to(self.device)

    def _run(self, index: int, part: int, hidden: Tensor | None = None) -> Tensor:
        call = self._call(index, part)
        hidden = (self.hidden[part] if hidden is None else hidden).to(self.device)
        return first(self.blocks.holder[index](hidden, *call.args, **call.kwargs))

    def _forward(self, index: int) -> None:
        for part in range(len(self.hidden)):
            self._set_hidden(part, self._run(index, part))

    def _set_hidden(self, part: int, output: Tensor) -> None:
        if self.form == "spill":
            self.hidden[part].copy_(output)
        else:
            self.hidden[part] = output

    def _hooked(self, linears: Sequence[Linear], hook: Callable[[Linear, Tensor], None]) -> ExitStack:
        stack = ExitStack()
        for linear in linears:

            def pre_hook(module: nn.Module, args: tuple[Tensor, ...], linear: Linear = linear) -> None:
                hook(linear, args[0])

            stack.enter_context(_RemovedHook(linear.module.register_forward_pre_hook(pre_hook)))
        return stack

    def _coroutines(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """Compress in one pass; each micro-batch pauses at each new input until all have added theirs."""
        parts = len(self.hidden)
        hub = getcurrent()
        groups: dict[str, _Group] = {}  # by linear name
        last_seen: dict[greenlet, tuple[Tensor, _Group]] = {}
        done: set[str] = set()

        def hook(linear: Linear, inputs: Tensor) -> None:
            me = getcurrent()
            known = last_seen.get(me)
            if known is not None and known[0] is inputs:
                group = known[1]
            else:
                group = groups.setdefault(linear.name, _Group(Collector(self.sums(linear.role), self.stride)))
                group.collector.add(inputs)
                group.arrived += 1
                last_seen[me] = (inputs, group)
                if group.arrived == parts:
                    group.ready = group.collector.finish()
            while group.ready is None:
                hub.switch()
            if linear.name not in done:
                done.add(linear.name)
                compress(linear, *group.ready)

        outputs: dict[int, Tensor] = {}

        def body(part: int) -> None:
            outputs[part] = self._run(index, part)

        with self._hooked(linears, hook):
            running = [greenlet(lambda part=part: body(part)) for part in range(parts)]
            try:
                # Alternate the order: the last one to arrive continues at once, its activations still in cache.
                while running:
                    for routine in running:
                        routine.switch()
                    running = [routine for routine in reversed(running) if not routine.dead]
            finally:
                for routine in running:
                    if routine and not routine.dead:
                        routine.throw()
        if not last:
            for part, output in outputs.items():
                self._set_hidden(part, output)

    def _collect(self, index: int, linears: Sequence[Linear], stop: bool) -> list[tuple[list[Linear], Collector]]:
        """Run the current block and return its groups of linears with their collectors.

        With `stop`, the pass ends after the first group, when another input appears.
        """
        groups: list[tuple[list[Linear], Collector]] = []
        for part in range(len(self.hidden)):
            seen: Tensor | None = None
            position = -1

            def hook(linear: Linear, inputs: Tensor, part: int = part) -> None:
                nonlocal seen, position
                if seen is not inputs:
                    if stop and seen is not None:
                        raise _HaltError
                    seen, position = inputs, position + 1
                    if part == 0:
                        groups.append(([], Collector(self.sums(linear.role), self.stride)))
                    groups[position][1].add(inputs)
                if part == 0:
                    groups[position][0].append(linear)

            with self._hooked(linears, hook):
                try:
                    self._run(index, part)
                except _HaltError:
                    continue
        return groups

    def _compress_groups(self, groups: list[tuple[list[Linear], Collector]], compress: Compress) -> None:
        for members, collector in groups:
            statistics, sample = collector.finish()
            for linear in members:
                compress(linear, statistics, sample)

    def _two_passes(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """Collect the statistics of the whole block, compress it, then compute its output, as the papers' code does."""
        self._compress_groups(self._collect(index, linears, stop=False), compress)
        if not last:
            self._forward(index)

    def _group_passes(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """Compress in one partial pass per group of linears, with the earlier groups already compressed."""
        remaining = list(linears)
        while remaining:
            groups = self._collect(index, remaining, stop=True)
            self._compress_groups(groups, compress)
            finished = {linear.name for members, _ in groups for linear in members}
            remaining = [linear for linear in remaining if linear.name not in finished]
        if not last:
            self._forward(index)


class _RemovedHook(ExitStack):
    """Context manager that removes a hook at its end."""

    def __init__(self, handle: torch.utils.hooks.RemovableHandle):
        super().__init__()
        self.callback(handle.remove)


def _spill(hidden: Tensor) -> Tensor:
    """Copy hidden states to an unnamed file, which the operating system pages in and out."""
    with tempfile.NamedTemporaryFile(prefix="slimscope-") as file:  # the mapping stays valid without the name
        copy = torch.from_file(file.name, shared=True, size=hidden.numel(), dtype=hidden.dtype)
        return copy.view_as(hidden).copy_(hidden)
