"""The block walker: sequential calibration, block by block, each on the output of the compressed blocks before it.

A forward pre-hook on each linear accumulates the statistics of its whole calibration input. It then compresses the
linear in place, and the forward pass continues with the compressed weight. So a block runs once, and its statistics
come from the inputs that the compressed model has. The sequences run in micro-batches. Each micro-batch is a coroutine
(greenlet) that pauses in the pre-hook until all others arrive. Activations of paused micro-batches that do not fit in
memory move to disk (`core.models.parts.overflow`).

Each expert of a mixture is calibrated on the tokens that its router sends it. All micro-batches pause before a layer of
experts, too, as only then the number of tokens of each expert is known (`core.engine.walking.collector`).

With `true_sequential=False`, as in the papers' code, one pass collects the statistics of the block before its
compression, and another pass computes its output.

References: Frantar & Alistarh, 2023 (arXiv:2301.00774), section 3; Sun et al., 2023 (arXiv:2306.11695), section 3.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import psutil
import torch
from greenlet import getcurrent, greenlet
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.memory import ACTIVATION_SHARE, process_bytes
from core.cache.shelf import Shelf, trying
from core.context import Context
from core.engine.walking.collector import Collector, Routing, SumsOf, routings_of
from core.methods.cost import COPIES, GRAMS
from core.methods.linear import Statistics
from core.models.parts.blocks import Blocks, Linear, by_block, hooked
from core.models.parts.finished import KeptBlocks, changing_block
from core.models.parts.overflow import Overflow, live_tensors
from core.models.parts.recorder import Recorder

SAMPLED_TOKENS = 512  # approximate number of a linear's inputs for the output error in the layer report

# compress(linear, statistics, sample) compresses in place; `sample` is (tokens, in), evenly spaced inputs, or None.
Compress = Callable[[Linear, Statistics, Tensor | None], None]


@dataclass
class _Group:
    """Linears of a block with the same input: q, k and v, or gate and up."""

    collector: Collector
    arrived: int = 0
    complete: bool = False  # whether all micro-batches have arrived
    found: tuple[Statistics, Tensor] | None = None  # while its linears are compressed


class Walker:
    """Sequential calibration of a model's blocks."""

    def __init__(
        self,
        model: PreTrainedModel,
        blocks: Blocks,
        tokens: Tensor,  # (sequences, length)
        sums: SumsOf,  # to collect of the input of a linear
        device: torch.device,
        batch: int = 1,  # sequences per micro-batch
        true_sequential: bool = True,  # whether statistics follow the compression of earlier linears of the block
        shelf: Shelf | None = None,  # receives each block that `walk` and `change` have left; None keeps them in memory
        limit: int | None = None,  # bytes of memory for the activations of paused micro-batches; None: no limit
        finished: KeptBlocks | None = None,  # keeps the blocks that a walk has left, where it resumes
    ):
        self.blocks, self.sums, self.device = blocks, sums, device
        self.true_sequential, self.shelf, self.finished = true_sequential, shelf, finished
        self.recorder = Recorder(model, blocks, device)
        # Odd, so that the sample covers all positions in a sequence: first tokens have very large activations.
        self.stride = tokens.numel() // SAMPLED_TOKENS | 1
        self.overflow = Overflow(limit)
        recordings = self.recorder.record(tokens.split(batch))
        self.calls = [recording.calls for recording in recordings]  # [micro-batch][block]
        self.hidden = [recording.hidden for recording in recordings]  # one per micro-batch
        for part, hidden in enumerate(self.hidden):
            self.overflow.store(part, [hidden])

    @property
    def n_micro_batches(self) -> int:
        """The number of micro-batches."""
        return len(self.hidden)

    @torch.no_grad()
    def walk(
        self,
        selected: Sequence[Linear],
        compress: Compress,
        after: Callable[[int], None] | None = None,
        again: bool = False,
    ) -> None:
        """Compress the selected linears in place, block by block, up to the last block with a selected linear.

        `after` receives the index of each block that has run, and may change the block's shape. With `again`, this
        changes what the block computes, so it runs once more for the next one.
        """
        chosen = by_block(selected)
        last = max(chosen)
        for index in range(self._resumed(), last + 1):
            with self._changing(index, last):
                linears = chosen.get(index, [])
                if linears:
                    self._compress(index, linears, compress, last=again or index == last)
                else:
                    self._forward(index)
                if after:
                    after(index)
                if linears and again and index < last:
                    self._forward(index)

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
            with trying(self.shelf, block):
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
        for index in range(self._resumed(), len(self.blocks.holder)):
            block = self.blocks.holder[index]
            home = next(block.parameters()).device
            block.to(self.device)
            for part in range(len(self.hidden)):
                output = self._run(index, part)
                look(index, self.hidden[part].to(self.device), output)
                self._set_hidden(part, output)
            block.to(home)
            if self.finished:
                self.finished.keep(self.blocks, index, self.hidden, at_once=False)

    @torch.no_grad()
    def change(
        self, change: Callable[[int, Callable[[int], Tensor], Sequence[Tensor]], None], dense: bool = False
    ) -> None:
        """Call `change(index, run, unchanged)` for each block, which changes the block in place.

        `run(part)` computes the block's output on a micro-batch, from the outputs of the changed blocks and with the
        block's current weights. With `dense`, `unchanged` contains the output of this block for each micro-batch
        before any block was changed; otherwise it is empty.
        """
        count, last = len(self.hidden), len(self.blocks.holder) - 1
        start = self._resumed()
        unchanged = self.hidden[count:]  # of a resumed walk, after the other states
        self.hidden = self.hidden[:count]
        if dense and not unchanged:
            unchanged = [hidden.clone() for hidden in self.hidden]
        for index in range(start, last + 1):
            with self._changing(index, last, unchanged):
                for part, hidden in enumerate(unchanged):
                    unchanged[part] = self._run(index, part, hidden)
                    self.overflow.store(("unchanged", part), [unchanged[part]])
                change(index, partial(self._run, index), unchanged)
                if index < last:
                    self._forward(index)

    def _resumed(self) -> int:
        """Restore the blocks and states of an earlier walk, and return the number of its finished blocks."""
        if self.finished is None:
            return 0
        count, states = self.finished.restore(self.blocks)
        self.hidden = states or self.hidden
        return count

    @contextmanager
    def _changing(self, index: int, last: int, more: Sequence[Tensor] = ()) -> Iterator[None]:
        """Change a block on the device inside the context; the states and `more` are kept with it for the next one."""
        block = self.blocks.holder[index]
        home = next(block.parameters()).device
        if self.shelf and index < last:
            self.shelf.prefetch(self.blocks.holder[index + 1])

        def states() -> list[Tensor]:
            return [] if index == last else [*self.hidden, *more]

        with changing_block(self.blocks, index, self.shelf, self.finished, states):
            block.to(self.device)
            yield
        block.to(home)
        self.overflow.trim()

    def _compress(self, index: int, linears: Sequence[Linear], compress: Compress, last: bool) -> None:
        """Compress linears of one block, and store the block's output unless it is the `last`."""
        routings = routings_of(self.blocks.holder[index], linears, len(self.hidden))
        try:
            if not self.true_sequential:
                self._two_passes(index, linears, compress, last, routings)
            else:
                self._coroutines(index, linears, compress, last, routings)
        finally:
            for routing in routings:
                routing.end()

    def _run(self, index: int, part: int, hidden: Tensor | None = None) -> Tensor:
        call = self.calls[part][index].to(self.device)
        hidden = (self.hidden[part] if hidden is None else hidden).to(self.device)
        return call.run(self.blocks.holder[index], hidden)

    def _forward(self, index: int) -> None:
        for part in range(len(self.hidden)):
            self._set_hidden(part, self._run(index, part))

    def _set_hidden(self, part: int, output: Tensor) -> None:
        self.hidden[part] = output
        self.overflow.store(part, [output])

    def _routed(
        self, routings: Sequence[Routing], route: Callable[[Routing], None] = lambda routing: None
    ) -> ExitStack:
        """Add to each routing the experts that are chosen inside the context, and call `route` then."""
        stack = ExitStack()
        for routing in routings:

            def pre_hook(module: nn.Module, args: tuple[Tensor, ...], routing: Routing = routing) -> None:
                routing.add(args[1])
                route(routing)

            stack.enter_context(routing.experts.register_forward_pre_hook(pre_hook))
        return stack

    def _coroutines(
        self, index: int, linears: Sequence[Linear], compress: Compress, last: bool, routings: Sequence[Routing]
    ) -> None:
        """Compress in one pass; each micro-batch pauses at each new input until all have added theirs."""
        hub = getcurrent()
        groups: dict[str, _Group] = {}  # by linear name
        last_seen: dict[greenlet, tuple[Tensor, _Group]] = {}
        done: set[str] = set()
        parts: dict[greenlet, int] = {}

        def entered(me: greenlet, linear: Linear, inputs: Tensor) -> _Group:
            """Return the group of a linear, to which a new input is added."""
            known = last_seen.get(me)
            if known is not None and known[0] is inputs:
                return known[1]
            if linear.name not in groups:
                for other in groups.values():  # whose linears are all compressed
                    other.found = None
                groups[linear.name] = _Group(self._collector(linear, routings))
            group = groups[linear.name]
            group.collector.add(inputs)
            group.arrived += 1
            last_seen[me] = (inputs, group)
            if group.arrived == len(self.hidden):
                self.overflow.trim()
                group.found, group.complete = group.collector.finish(), True
            return group

        def hook(linear: Linear, inputs: Tensor) -> None:
            group = entered(getcurrent(), linear, inputs)
            wait(group)
            if linear.name not in done:
                done.add(linear.name)
                assert group.found is not None  # the first micro-batch that continues compresses all its linears
                statistics, sample = group.found
                compress(linear, _labelled(statistics, linear, routings), sample)

        def wait(awaited: _Group | Routing) -> None:
            """Pause the current micro-batch until all have arrived."""
            if awaited.complete:
                return
            me = getcurrent()
            # Not the frames of this function and of the hook: a variable with the own frame would keep it, and the
            # hook knows tensors of other micro-batches.
            live = live_tensors(sys._getframe(2), Walker._run.__code__)
            moved = self.overflow.store(parts[me], live)
            while not awaited.complete:
                hub.switch()
            for tensor in moved:
                tensor.data = tensor.data.to(self.device)

        def body(part: int) -> None:
            output = self._run(index, part)
            if not last:
                self._set_hidden(part, output)

        with self._routed(routings, wait), hooked(linears, hook):
            for part in range(len(self.hidden)):
                parts[greenlet(lambda part=part: body(part))] = part
            running = list(parts)
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

    def _collector(self, linear: Linear, routings: Sequence[Routing]) -> Collector:
        """Return a collector of a linear's input, which samples about `SAMPLED_TOKENS` rows."""
        tokens = next((routing.mean for routing in routings if linear in routing), None)
        stride = self.stride if tokens is None else tokens // SAMPLED_TOKENS | 1
        return Collector(self.sums(linear.role), stride)

    def _collect(
        self, index: int, linears: Sequence[Linear], routings: Sequence[Routing]
    ) -> list[tuple[list[Linear], Collector]]:
        """Run the current block and return its groups of linears with their collectors."""
        groups: list[tuple[list[Linear], Collector]] = []
        if routings:
            with self._routed(routings):
                for part in range(len(self.hidden)):
                    self._run(index, part)
        for part in range(len(self.hidden)):
            seen: Tensor | None = None
            position = -1

            def hook(linear: Linear, inputs: Tensor, part: int = part) -> None:
                nonlocal seen, position
                if seen is not inputs:
                    seen, position = inputs, position + 1
                    if part == 0:
                        groups.append(([], self._collector(linear, routings)))
                    groups[position][1].add(inputs)
                if part == 0:
                    groups[position][0].append(linear)

            with hooked(linears, hook):
                self._run(index, part)
        return groups

    def _two_passes(
        self, index: int, linears: Sequence[Linear], compress: Compress, last: bool, routings: Sequence[Routing]
    ) -> None:
        """Collect the statistics of the whole block, compress it, then compute its output, as the papers' code does."""
        for members, collector in self._collect(index, linears, routings):
            statistics, sample = collector.finish()
            for linear in members:
                compress(linear, _labelled(statistics, linear, routings), sample)
        if not last:
            self._forward(index)


def _labelled(statistics: Statistics, linear: Linear, routings: Sequence[Routing]) -> Statistics:
    """Return the statistics of a linear, which say if its expert got too few tokens."""
    few = next((routing.few(linear) for routing in routings if linear in routing), None)
    return statistics if few is None else replace(statistics, routed=few)


def make_walker(
    model: PreTrainedModel,
    blocks: Blocks,
    windows: Tensor,
    sums: SumsOf,
    context: Context,
    linears: list[Linear],
    true_sequential: bool = True,
    observes: bool = False,
    finished: KeptBlocks | None = None,
) -> Walker:
    """Create a walker whose activations fit in memory, and check that it gives the model's own output.

    Blocks that it has changed leave the memory if the model streams; one that only `observes` changes none.
    """
    widest = max((linear.shape[1] for linear in linears if "gram" in sums(linear.role)), default=0)
    working = GRAMS * 4 * widest**2 + COPIES * 4 * max(linear.weight.numel() for linear in linears)
    batch, limit = choose_walk_mode(model, linears, windows, working, context)
    shelf = None if observes else context.shelf
    walker = Walker(model, blocks, windows, sums, context.device, batch, true_sequential, shelf, limit, finished)
    walker.recorder.check(windows)
    return walker


def choose_walk_mode(
    model: PreTrainedModel, linears: list[Linear], windows: Tensor, working: int, context: Context
) -> tuple[int, int | None]:
    """Choose the sequences per micro-batch, and the bytes for the activations of paused ones; None: all fit.

    On a CPU one sequence at a time is fastest, as its activations stay in the processor's cache. On a GPU a micro-batch
    uses a sixteenth of the free memory. Paused ones get a share of what compression, with `working` bytes, leaves.
    """
    device, memory = context.device, context.memory
    width = sum(
        linear.weight.shape[0] + linear.weight.shape[1] for linear in linears if linear.block == linears[0].block
    )
    item = next(model.parameters()).element_size()
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        batch = max(1, min(len(windows), int(free / 16 / (windows.shape[1] * width * item))))
    else:
        free, batch = psutil.virtual_memory().available, 1
        if memory is not None:
            free = min(free, max(0, memory - process_bytes()))
    limit = int(ACTIVATION_SHARE * max(0, free - working))
    most = windows.numel() * width * item  # inputs and outputs of all linears of a block
    return batch, None if most < limit else limit
