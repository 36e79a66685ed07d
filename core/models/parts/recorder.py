"""Recording of the arguments of each decoder block, without running the blocks.

Each block has its own positional and keyword arguments. Masks and rotary tables differ between blocks in models that
mix full and sliding attention.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.models.parts.blocks import Args, Blocks, Kwargs, Output, body, first, move, sliding_window, text_config

Inputs = Mapping[str, Tensor]  # of a model, by name


@dataclass
class Call:
    """Arguments of one block after the hidden states."""

    args: Args
    kwargs: Kwargs

    def to(self, device: torch.device) -> "Call":
        return Call(_to(self.args, device), _to(self.kwargs, device))

    def run(self, block: nn.Module, hidden: Tensor) -> Tensor:
        """Return the hidden states that a block computes from others, (sequences, tokens, hidden) both."""
        return first(block(hidden, *self.args, **self.kwargs))


@dataclass
class Recording:
    """Block inputs of one batch of sequences."""

    hidden: Tensor  # (sequences, tokens, hidden)
    calls: list[Call]  # one per block


def _to(value: Any, device: torch.device) -> Any:  # Any: an argument of any type
    """Move the tensors in nested arguments to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(item, device) for item in value)
    if isinstance(value, dict):
        return {name: _to(item, device) for name, item in value.items()}
    return value


class _Stub(nn.Module):
    """Substitute for a block, which records the call and returns the hidden states in the block's output form."""

    def __init__(self, block: nn.Module, calls: list[Call], extras: int | None):
        super().__init__()
        self._original = [block]  # in a list, so that PyTorch does not register the block and it stays on its device
        self._calls = calls
        self._extras = extras

    def __getattr__(self, name: str) -> Any:  # Any: of the block
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._original[0], name)  # models read a block's attention type

    def forward(self, *args: Any, **kwargs: Any) -> Tensor | tuple[Tensor | None, ...]:  # Any: the block's arguments
        hidden, call = split_hidden(args, kwargs)
        self._calls.append(call)
        return hidden if self._extras is None else (hidden, *[None] * self._extras)


def split_hidden(args: Args, kwargs: Kwargs) -> tuple[Tensor, Call]:
    """Split a block's arguments into the hidden states and the rest."""
    if args:
        return args[0], Call(args[1:], kwargs)
    rest = dict(kwargs)
    return rest.pop("hidden_states"), Call((), rest)


@contextmanager
def _stubs(blocks: Blocks, calls: list[Call], extras: int | None, first: int | None = None) -> Iterator[None]:
    """Replace the `first` blocks, or all blocks, with stubs."""
    originals = list(blocks.holder)
    try:
        for index, block in enumerate(originals[:first]):
            blocks.holder[index] = _Stub(block, calls, extras)
        yield
    finally:
        for index, block in enumerate(originals):
            blocks.holder[index] = block


class Recorder:
    """Recorder of block calls; during a recording the model moves to `device`, except for its blocks."""

    def __init__(self, model: PreTrainedModel, blocks: Blocks, device: torch.device):
        self.model, self.blocks, self.device = model, blocks, device
        self.extras = self._output_form()

    @torch.no_grad()
    def _output_form(self) -> int | None:
        """Return the number of values that a block returns after the hidden states; None for a bare tensor."""
        outputs: list[Output] = []
        tokens = torch.zeros(1, 2, dtype=torch.long, device=next(self.model.parameters()).device)
        with self.blocks.holder[0].register_forward_hook(lambda module, args, output: outputs.append(output)):
            body(self.model)(input_ids=tokens, use_cache=False)
        return None if isinstance(outputs[0], Tensor) else len(outputs[0]) - 1

    @torch.no_grad()
    def record(self, batches: Sequence[Tensor | Inputs]) -> list[Recording]:
        """Record the block inputs for each batch: tokens (sequences, length), or all inputs of the model."""
        calls: list[Call] = []
        seen: list[Tensor] = []
        home = next(self.model.parameters()).device

        def look(module: nn.Module, args: Args, kwargs: Kwargs) -> None:
            seen.append(split_hidden(args, kwargs)[0])

        with _stubs(self.blocks, calls, self.extras):
            move(self.model, self.device)
            try:
                with self.blocks.holder[0].register_forward_pre_hook(look, with_kwargs=True):
                    for batch in batches:
                        inputs = {"input_ids": batch} if isinstance(batch, Tensor) else batch
                        there = {name: tensor.to(self.device) for name, tensor in inputs.items()}
                        body(self.model)(**there, use_cache=False)
            finally:
                move(self.model, home)
        depth = len(self.blocks.holder)
        return [Recording(hidden, calls[i * depth : (i + 1) * depth]) for i, hidden in enumerate(seen)]

    @contextmanager
    def entered(self, index: int, hidden: Tensor) -> Iterator[None]:
        """Make the model run only from block `index` on, with `hidden` (sequences, tokens, hidden) as its input."""

        def enter(module: nn.Module, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
            _, call = split_hidden(args, kwargs)
            return (hidden, *call.args), call.kwargs

        entering = self.blocks.holder[index].register_forward_pre_hook(enter, with_kwargs=True)
        with entering, _stubs(self.blocks, [], self.extras, index):
            yield

    @torch.no_grad()
    def check(self, windows: Tensor) -> None:
        """Check that the blocks, run one by one, give the model's own output on some tokens of `windows` (N, L).

        Raises `UserError` if not, as the model changes hidden states between blocks, or if the outputs are not finite.
        """
        limit = getattr(text_config(self.model), "max_position_embeddings", windows.numel())
        length = min(max(64, (sliding_window(self.model) or 0) + 8), limit, windows.numel())  # longer than the window
        tokens = windows.flatten()[None, :length]
        outputs: list[Tensor] = []
        with self.blocks.holder[-1].register_forward_hook(lambda module, args, out: outputs.append(first(out))):
            body(self.model)(input_ids=tokens.to(next(self.model.parameters()).device), use_cache=False)
        [recording] = self.record([tokens])
        hidden = recording.hidden.to(outputs[0].device)
        for block, call in zip(self.blocks.holder, recording.calls, strict=True):
            hidden = call.to(hidden.device).run(block, hidden)
        gap = (hidden - outputs[0]).norm() / outputs[0].norm()
        if not gap.isfinite():
            raise UserError(
                f"The hidden states of this {type(self.model).__name__} contain NaN or infinity, or are all zero, in "
                f"{str(hidden.dtype).removeprefix('torch.')}; check its weights, or choose another dtype."
            )
        if gap >= 1e-3:
            raise UserError(
                f"{type(self.model).__name__} cannot be calibrated: run block by block, its output differs by "
                f"{100 * gap:.1f} %. Choose a method that needs no calibration data."
            )
