"""Hidden states before a model's head: batch by batch, or block by block for a model that exceeds the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from core.evaluation.linears import QuickLinears
from core.memory import HELD_BYTES
from core.models.parts.blocks import find_blocks, first, text_config
from core.models.parts.recorder import Recorder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class States(NamedTuple):
    """The hidden states of a batch, and the seconds that they took."""

    hidden: Tensor  # (B, L - 1, hidden)
    seconds: float


@torch.inference_mode()
def final_states(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Return the hidden states before the head at all tokens but the last, (B, L - 1, hidden)."""
    with QuickLinears():
        states: Tensor = model.base_model(input_ids=windows, use_cache=False).last_hidden_state[:, :-1]
    return states


def states_by_batch(model: PreTrainedModel, batches: Sequence[Tensor]) -> Iterator[States]:
    """Yield the `final_states` of each batch (B, L) of windows."""
    for batch in batches:
        started = time.perf_counter()
        states = final_states(model, batch.to(model.device))
        yield States(states, time.perf_counter() - started)


def states_by_block(
    model: PreTrainedModel, batches: Sequence[Tensor], advance: Callable[[int, int], None]
) -> Iterator[States]:
    """Yield the states of `states_by_batch`; many batches pass a block before any passes the next.

    So a block that is mapped from a file is read once for all of these batches.

    Args:
        model: The model, all of whose windows have one length.
        batches: Windows, (B, L) each.
        advance: Receives the number of blocks that are done, and of all.

    Raises:
        UserError: Block by block, the model's output differs from its own.
    """
    width: int = text_config(model).hidden_size * next(model.parameters()).element_size()  # bytes of a token
    each = max(1, HELD_BYTES // (batches[0].numel() * width))
    recorder = Recorder(model, find_blocks(model), model.device)
    recorder.check(batches[0])
    for start in range(0, len(batches), each):
        yield from _group(recorder, batches[start : start + each], advance)


def _group(recorder: Recorder, batches: Sequence[Tensor], advance: Callable[[int, int], None]) -> Iterator[States]:
    started = time.perf_counter()
    blocks = recorder.blocks.holder
    recordings, last = recorder.record(batches), len(blocks) - 1
    with torch.inference_mode(), QuickLinears():
        for index in range(last):
            for one in recordings:
                call = one.calls[index]
                one.hidden = first(blocks[index](one.hidden, *call.args, **call.kwargs))
            advance(index + 1, last + 1)
    share = (time.perf_counter() - started) / len(batches)
    for one, batch in zip(recordings, batches, strict=True):
        started = time.perf_counter()
        with recorder.entered(last, one.hidden):  # which the model's last norm follows
            states = final_states(recorder.model, batch.to(recorder.device))
        yield States(states, share + time.perf_counter() - started)
