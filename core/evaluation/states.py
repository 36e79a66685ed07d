"""Hidden states before a model's head: batch by batch, or block by block for a model that exceeds the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from core.base.memory import HELD_BYTES
from core.cache.checkpoint import Checkpoint
from core.models.parts.blocks import body, find_blocks, first, text_config
from core.models.parts.products import quick_products
from core.models.parts.recorder import Inputs, Recorder
from core.specs import sha256

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Advance = Callable[[int, int], None]  # receives the number of blocks that are done, and of all


class States(NamedTuple):
    """The hidden states of a batch, and the seconds that they took."""

    hidden: Tensor  # (B, L - 1, hidden)
    seconds: float


@torch.inference_mode()
def final_states(model: PreTrainedModel, windows: Tensor) -> Tensor:
    """Return the hidden states before the head at all tokens but the last, (B, L - 1, hidden)."""
    with quick_products(model.dtype):
        states: Tensor = body(model)(input_ids=windows, use_cache=False).last_hidden_state[:, :-1]
    return states


def states_by_batch(model: PreTrainedModel, batches: Sequence[Tensor]) -> Iterator[States]:
    """Yield the `final_states` of each batch (B, L) of windows."""
    for batch in batches:
        started = time.perf_counter()
        states = final_states(model, batch.to(model.device))
        yield States(states, time.perf_counter() - started)


def states_by_block(model: PreTrainedModel, batches: Sequence[Tensor], key: str, advance: Advance) -> Iterator[States]:
    """Yield the states of `states_by_batch`, computed as in `passes_by_block`; all windows have one length.

    Raises:
        UserError: Block by block, the model's output differs from its own.
    """
    passes = passes_by_block(model, [{"input_ids": batch} for batch in batches], key, advance)
    for batch, share in zip(batches, passes, strict=True):
        started = time.perf_counter()
        states = final_states(model, batch.to(model.device))
        yield States(states, share + time.perf_counter() - started)


def passes_by_block(
    model: PreTrainedModel, batches: Sequence[Inputs], key: str, advance: Advance = lambda done, count: None
) -> Iterator[float]:
    """Let many batches pass a block before any passes the next, so that a block is read once for all of them.

    The states are kept once a minute, and an interrupted pass resumes after the last kept block.

    Args:
        model: The model.
        batches: Inputs of the model by name; `input_ids` is (B, L).
        key: Identifies the model with its precision.
        advance: Called after each block.

    Yields:
        Once for each batch, the seconds that its part took. Until the next one, the model computes only its last block
        and what follows it, for this batch.

    Raises:
        UserError: Block by block, the model's output differs from its own.
    """
    width: int = text_config(model).hidden_size * next(model.parameters()).element_size()  # bytes of a token
    recorder = Recorder(model, find_blocks(model), model.device)
    recorder.check(batches[0]["input_ids"])
    group: list[Inputs] = []
    size = 0
    for batch in batches:
        own = batch["input_ids"].numel() * width
        if group and size + own > HELD_BYTES:
            yield from _pass(recorder, group, key, advance)
            group, size = [], 0
        group.append(batch)
        size += own
    yield from _pass(recorder, group, key, advance)


def _pass(recorder: Recorder, batches: Sequence[Inputs], key: str, advance: Advance) -> Iterator[float]:
    started = time.perf_counter()
    blocks = recorder.blocks.holder
    last = len(blocks) - 1
    with quick_products(recorder.model.dtype):  # a rotated embedding has a product, too
        recordings = recorder.record(batches)
    kept = Checkpoint(sha256(key, *(str(batch["input_ids"].tolist()) for batch in batches)))
    begun, states = kept.restore_states()
    for one, hidden in zip(recordings, states, strict=False):  # none without an interrupted pass
        one.hidden = hidden.to(one.hidden.device)
    with torch.inference_mode(), quick_products(recordings[0].hidden.dtype):
        for index in range(begun, last):
            for one in recordings:
                call = one.calls[index]
                one.hidden = first(blocks[index](one.hidden, *call.args, **call.kwargs))
            if kept.due and kept.has_room(sum(one.hidden.nbytes for one in recordings)):
                with kept.keeping():
                    kept.write_states(index, [one.hidden for one in recordings])
            advance(index + 1, last + 1)
    share = (time.perf_counter() - started + kept.earlier) / len(batches)
    for one in recordings:
        if one is recordings[-1]:  # after which nobody asks for more
            kept.clear()
        with recorder.entered(last, one.hidden):  # which the model's last norm follows
            yield share
