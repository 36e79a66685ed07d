"""The block walker: how the activations of calibration text reach a method.

Blocks run in order, each on the output of the compressed blocks before it. A forward pre-hook on each linear sees the
whole calibration input of that linear before it is used, accumulates its statistics, has the linear compressed in
place, and lets the forward go on with the compressed weight. So a block runs once, and every statistic sees what the
compressed model will see. The windows run as micro-batches, each a coroutine (greenlet) that pauses in the pre-hook
until all have arrived. Where their live activations would not fit in memory, each group of linears gets a pass of its
own over block inputs that lie on disk (`spill`). The reference's form, one statistics pass on the dense block and one
output pass, is `true_sequential=False`.

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

from core.engine.collector import Collector, SumsOf
from core.engine.recorder import Call, Recorder
from core.methods.inputs import Statistics
from core.models.parts.blocks import Blocks, Linear, by_block, first

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLED_TOKENS = 512  # about how many tokens of a linear's input the layer report's output error is taken on

# compress(linear, statistics, sample): compress in place. `sample` is (tokens, in), evenly spaced inputs, if any.
Compress = Callable[[Linear, Statistics, Tensor | None], None]
WalkMode = Literal["batch", "micro", "spill"]


@dataclass
class _Group:
    """The linears of a block that read one input tensor: q, k, v, or gate and up."""

    collector: Collector
    arrived: int = 0
    ready: tuple[Statistics, Tensor] | None = None


class _HaltError(Exception):
    """Ends a partial pass at the linear it was run for."""


class Walker:
    """Walks a model's blocks over calibration windows and has each selected linear compressed.

    `tokens` is (windows, length); `sums` says, by role of a linear, which sums of its input are wanted; `batch`
    is how many windows run at once in the `micro` and `spill` forms.
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
    ):
        self.blocks, self.sums, self.device, self.form = blocks, sums, device, form
        self.true_sequential = true_sequential
        self.recorder = Recorder(model, blocks, device)
        size = len(tokens) if form == "batch" else batch
        # Odd, so that the sample goes through all positions of the windows: first tokens have outsized activations.
        self.stride = tokens.numel() // SAMPLED_TOKENS | 1
        recordings = self.recorder.record(tokens.split(size))
        self.hidden = [recording.hidden for recording in recordings]  # one a micro-batch
        self.calls = [recording.calls for recording in recordings]  # [micro-batch][block]
        if form == "spill":
            self.hidden = [_spilled(hidden) for hidden in self.hidden]

    @property
    def n_micro_batches(self) -> int:
        """How many micro-batches there are."""
        return len(self.hidden)

    @torch.no_grad()
    def walk(self, selected: Sequence[Linear], compress: Compress, after: Callable[[int], None] | None = None) -> None:
        """Compress the selected linears in place, block by block; blocks after the last selected one do not run.

        `after` is called with the index of each block that has run, to give it another shape.
        """
        chosen = by_block(selected)
        for index in range(max(chosen) + 1):
            block = self.blocks.holder[index]
            home = next(block.parameters()).device
            block.to(self.device)
            linears = chosen.get(index, [])
            if linears:
                self._compress(index, linears, compress, last=index == max(chosen))
            else:
                self._forward(index)
            if after:
                after(index)
            block.to(home)

    @torch.no_grad()
    def compress_each_alone(
        self, groups: Sequence[Sequence[Linear]], compress: Compress, look: Callable[[int], None]
    ) -> None:
        """Compress groups of linears one after the other, each on what the blocks before it give as they are.

        The linears of a group are of one block. `look` gets the place of the group whose linears are compressed, and
        must put these back.
        """
        by_block: dict[int, list[int]] = {}
        for place, group in enumerate(groups):
            by_block.setdefault(group[0].block, []).append(place)
        for index in range(max(by_block) + 1):
            block = self.blocks.holder[index]
            home = next(block.parameters()).device
            block.to(self.device)
            for place in by_block.get(index, []):
                self._compress(index, groups[place], compress, last=True)
                look(place)
            if index < max(by_block):
                self._forward(index)
            block.to(home)

    @torch.no_grad()
    def observe(self, look: Callable[[int, Tensor, Tensor], None]) -> None:
        """Run the blocks as they are; `look(index, inputs, outputs)` sees each one's hidden states by micro-batch."""
        for index, block in enumerate(self.blocks.holder):
            home = next(block.parameters()).device
            block.to(self.device)
            for part in range(len(self.hidden)):
                output = self._run(index, part)
                look(index, self.hidden[part].to(self.device), output)
                self._keep(part, output)
            block.to(home)

    @torch.no_grad()
    def change(
        self, change: Callable[[int, Callable[[int], Tensor], Sequence[Tensor]], None], dense: bool = False
    ) -> None:
        """Have each block changed in place by its index, on the output of the changed blocks before it.

        `change` also gets what gives the block's output on a micro-batch, with the weights that it then has; and, with
        `dense`, what the blocks up to here gave on each micro-batch before any was changed.
        """
        unchanged = [hidden.clone() for hidden in self.hidden] if dense else []
        for index, block in enumerate(self.blocks.holder):
            home = next(block.parameters()).device
            block.to(self.device)
            unchanged = [self._run(index, part, hidden) for part, hidden in enumerate(unchanged)]
            change(index, partial(self._run, index), unchanged)
            if index + 1 < len(self.blocks.holder):
                self._forward(index)
            block.to(home)

    def _compress(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """Compress linears of one block; what the block gives then is kept unless nothing comes after it."""
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
            self._keep(part, self._run(index, part))

    def _keep(self, part: int, output: Tensor) -> None:
        if self.form == "spill":
            self.hidden[part].copy_(output)
        else:
            self.hidden[part] = output

    def _hooked(self, linears: Sequence[Linear], hook: Callable[[Linear, Tensor], None]) -> ExitStack:
        stack = ExitStack()
        for linear in linears:

            def pre_hook(module: nn.Module, args: tuple[Tensor, ...], linear: Linear = linear) -> None:
                hook(linear, args[0])

            stack.enter_context(_Removing(linear.module.register_forward_pre_hook(pre_hook)))
        return stack

    def _coroutines(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """One pass; every micro-batch pauses at each new input until all have added theirs."""
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
                # Forwards and backwards in turn: the last to arrive goes straight on, its activations in cache.
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
                self._keep(part, output)

    def _collect(self, index: int, linears: Sequence[Linear], stop: bool) -> list[tuple[list[Linear], Collector]]:
        """Run the block as it stands and return its groups of linears with their collectors.

        With `stop`, only the first group of `linears` is collected, and the pass ends when another input appears.
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
        """The reference's form: statistics on the dense block, then its compressed output."""
        self._compress_groups(self._collect(index, linears, stop=False), compress)
        if not last:
            self._forward(index)

    def _group_passes(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """One partial pass per group of linears, each seeing the compressed ones before it."""
        left = list(linears)
        while left:
            groups = self._collect(index, left, stop=True)
            self._compress_groups(groups, compress)
            finished = {linear.name for members, _ in groups for linear in members}
            left = [linear for linear in left if linear.name not in finished]
        if not last:
            self._forward(index)


class _Removing(ExitStack):
    """A hook handle as a context manager."""

    def __init__(self, handle: torch.utils.hooks.RemovableHandle):
        super().__init__()
        self.callback(handle.remove)


def _spilled(hidden: Tensor) -> Tensor:
    """Return a copy of the hidden states in an unnamed file, which the system pages in and out as needed."""
    with tempfile.NamedTemporaryFile(prefix="slimscope-") as file:  # the mapping outlives the name
        copy = torch.from_file(file.name, shared=True, size=hidden.numel(), dtype=hidden.dtype)
        return copy.view_as(hidden).copy_(hidden)
