"""What each decoder block is called with, recorded without running the blocks.

Each block keeps its own positional and keyword arguments: masks and rotary tables differ between the blocks of models
that mix full and sliding attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.parts.blocks import Blocks, first, move

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass
class Call:
    """The arguments of one block beside the hidden states, which come first."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def to(self, device: torch.device) -> Call:
        return Call(_to(self.args, device), _to(self.kwargs, device))


@dataclass
class Recording:
    """One batch of windows on its way into the blocks."""

    hidden: Tensor  # (windows, tokens, hidden)
    calls: list[Call]  # one a block


def _to(value: Any, device: torch.device) -> Any:
    """Move the tensors in (nested) arguments to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(item, device) for item in value)
    if isinstance(value, dict):
        return {name: _to(item, device) for name, item in value.items()}
    return value


class _Stub(nn.Module):
    """Stands in a block's place: notes the call and hands the hidden states on in the block's own output form."""

    def __init__(self, block: nn.Module, calls: list[Call], extras: int | None):
        super().__init__()
        self._original = [block]  # in a list, so that it is not registered and stays on its device
        self._calls = calls
        self._extras = extras

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._original[0], name)  # models ask a block for its attention type

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        hidden, call = split_hidden(args, kwargs)
        self._calls.append(call)
        return hidden if self._extras is None else (hidden, *[None] * self._extras)


def split_hidden(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Call]:
    """Return the hidden states and the rest of a block's arguments."""
    if args:
        return args[0], Call(args[1:], kwargs)
    rest = dict(kwargs)
    return rest.pop("hidden_states"), Call((), rest)


@contextmanager
def _stubs(blocks: Blocks, calls: list[Call], extras: int | None, first: int | None = None) -> Iterator[None]:
    """Put stubs in the places of the `first` blocks, or of all."""
    originals = list(blocks.holder)
    try:
        for index, block in enumerate(originals[:first]):
            blocks.holder[index] = _Stub(block, calls, extras)
        yield
    finally:
        for index, block in enumerate(originals):
            blocks.holder[index] = block


class Recorder:
    """Records block calls of a model whose blocks stay where they are; everything else moves to `device`."""

    def __init__(self, model: PreTrainedModel, blocks: Blocks, device: torch.device):
        self.model, self.blocks, self.device = model, blocks, device
        self.extras = self._output_form()

    @torch.no_grad()
    def _output_form(self) -> int | None:
        """Return how many values a block returns beside the hidden states; None where it returns a bare tensor."""
        outputs: list[Any] = []
        handle = self.blocks.holder[0].register_forward_hook(lambda module, args, output: outputs.append(output))
        try:
            tokens = torch.zeros(1, 2, dtype=torch.long, device=next(self.model.parameters()).device)
            self._inner()(input_ids=tokens, use_cache=False)
        finally:
            handle.remove()
        return None if isinstance(outputs[0], Tensor) else len(outputs[0]) - 1

    def _inner(self) -> nn.Module:
        """The model without its language-modelling head, which calibration never needs."""
        return self.model.base_model

    @torch.no_grad()
    def record(self, batches: Sequence[Tensor]) -> list[Recording]:
        """Return what the blocks are called with for each batch of tokens (windows, length)."""
        calls: list[Call] = []
        seen: list[Tensor] = []
        home = next(self.model.parameters()).device
        with _stubs(self.blocks, calls, self.extras):
            move(self.model, self.device)
            handle = self.blocks.holder[0].register_forward_pre_hook(
                lambda module, args, kwargs: seen.append(split_hidden(args, kwargs)[0]), with_kwargs=True
            )
            try:
                for tokens in batches:
                    self._inner()(input_ids=tokens.to(self.device), use_cache=False)
            finally:
                handle.remove()
                move(self.model, home)
        depth = len(self.blocks.holder)
        return [Recording(hidden, calls[i * depth : (i + 1) * depth]) for i, hidden in enumerate(seen)]

    @contextmanager
    def entered(self, index: int, hidden: Tensor) -> Iterator[None]:
        """Have the model run from the block at `index` on, which gets `hidden` (windows, tokens, hidden)."""

        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            _, call = split_hidden(args, kwargs)
            return (hidden, *call.args), call.kwargs

        handle = self.blocks.holder[index].register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with _stubs(self.blocks, [], self.extras, index):
                yield
        finally:
            handle.remove()

    @torch.no_grad()
    def check(self, tokens: Tensor) -> None:
        """Raise `UserError` unless running the blocks one by one gives what the model itself computes.

        `tokens` is (1, length), longer than any sliding window. This catches a model that does more between its
        blocks than hand on the hidden states.
        """
        outputs: list[Tensor] = []
        handle = self.blocks.holder[-1].register_forward_hook(lambda module, args, out: outputs.append(first(out)))
        try:
            self._inner()(input_ids=tokens.to(next(self.model.parameters()).device), use_cache=False)
        finally:
            handle.remove()
        [recording] = self.record([tokens])
        hidden = recording.hidden.to(outputs[0].device)
        for block, call in zip(self.blocks.holder, recording.calls, strict=True):
            call = call.to(hidden.device)
            hidden = first(block(hidden, *call.args, **call.kwargs))
        gap = (hidden - outputs[0]).norm() / outputs[0].norm()
        if not gap.isfinite():
            raise UserError(
                f"The hidden states of this {type(self.model).__name__} hold NaN or infinity, or are all zero, in "
                f"{str(hidden.dtype).removeprefix('torch.')}; so there is nothing to calibrate on."
            )
        if gap >= 1e-3:
            raise UserError(
                f"{type(self.model).__name__} does more between its blocks than pass hidden states on "
                f"(block by block its output is off by {gap:.1%}), so it cannot be calibrated block by block."
            )
