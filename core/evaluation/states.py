"""The output head of a model, in chunks of the vocabulary, and the hidden states before it.

They are computed batch by batch, or block by block for a model that exceeds the memory.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedConfig, PreTrainedModel

from core.base.errors import UserError
from core.base.memory import HELD_BYTES
from core.cache.checkpoint import Checkpoint
from core.models.modeling_slimscope import FactoredHead
from core.models.parts.blocks import body, find_blocks, text_config
from core.models.parts.products import quick_products
from core.models.parts.recorder import Inputs, Recorder
from core.specs import sha256

COLUMNS = 2048  # of the vocabulary per chunk of logits, so that a chunk fits into the CPU cache
# Fields of configurations: soft caps of Gemma's models, and factors of Cohere's and of Falcon-H1.
CAPS = ("final_logit_softcapping", "logits_soft_cap")
FACTORS = ("logit_scale", "lm_head_multiplier")
ROUNDING = 2**-16  # relative, of a product that is added up in fp32 in another order
Advance = Callable[[int, int], None]  # receives the number of blocks that are done, and of all


class OutputScale(NamedTuple):
    """A model's function of the logits after its head: a factor, or Gemma's soft cap."""

    factor: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the logits as the model gives them, of the same shape."""
        if self.cap is not None:
            return torch.tanh(logits.float() / self.cap) * self.cap
        return logits if self.factor == 1 else logits * self.factor


def head_parts(model: PreTrainedModel) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (weight (columns, hidden), bias (columns,) or None) of the output head, in chunks of the vocabulary."""
    head = model.get_output_embeddings()
    if isinstance(head, FactoredHead):
        yield from ((head.table.rows(part), None) for part in head.table.parts(COLUMNS))
        return
    weight, bias = head.get_parameter("weight"), dict(head.named_parameters()).get("bias")
    for start in range(0, len(weight), COLUMNS):
        part = slice(start, start + COLUMNS)
        yield weight[part], None if bias is None else bias[part]


def output_scale(model: PreTrainedModel) -> OutputScale:
    """Return the model's function of the logits after its head."""
    config = text_config(model)
    if cap := _field(config, CAPS):
        return OutputScale(cap=cap)
    # Granite's models divide.
    return OutputScale(_field(config, FACTORS) or 1 / (_field(config, ("logits_scaling",)) or 1))


def _field(config: PreTrainedConfig, names: Sequence[str]) -> float | None:
    """Return the first field of these names that a configuration has and sets; None without one."""
    return next((value for name in names if (value := getattr(config, name, None))), None)


@torch.inference_mode()
def check_logits(model: PreTrainedModel, ids: Tensor) -> None:
    """Raise `UserError` if the log-probabilities computed here differ from the model's own on the tokens ids (L,).

    Both heads multiply in the model's precision, which rounds each logit once. What follows is computed in fp32, also
    by the model. So a difference beyond this rounding is a cap, factor, bias or weight that one of them lacks.
    """
    some = ids[None, :8].to(model.device)
    hidden = body(model)(input_ids=some, use_cache=False).last_hidden_state
    scale = output_scale(model)
    ours = torch.cat([scale(linear(hidden, *part).float()) for part in head_parts(model)], -1)
    with model.get_output_embeddings().register_forward_hook(lambda head, args, logits: logits.float()):
        own = model(input_ids=some, use_cache=False).logits.float()
    gap = (ours.log_softmax(-1) - own.log_softmax(-1)).norm()
    if gap > max(ROUNDING, torch.finfo(hidden.dtype).eps) * own.norm():  # not so for NaN, of a model that has diverged
        raise UserError(
            f"{type(model).__name__} changes its logits in an unsupported way, so its perplexity cannot be measured; "
            "choose another model."
        )


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
    """Yield the states of `states_by_batch`, computed as in `passes_by_block`; all windows have one length."""
    passes = passes_by_block(model, [{"input_ids": batch} for batch in batches], key, advance)
    for batch, share in zip(batches, passes, strict=True):
        started = time.perf_counter()
        states = final_states(model, batch.to(model.device))
        yield States(states, share + time.perf_counter() - started)


def passes_by_block(
    model: PreTrainedModel, batches: Sequence[Inputs], key: str, advance: Advance = lambda done, count: None
) -> Iterator[float]:
    """Let many batches pass a block before any passes the next, so that a block is read once for all of them.

    The states are kept once a minute, and an interrupted pass resumes after the last kept block; `key` identifies the
    model with its precision. `input_ids` of a batch is (B, L). `advance` is called after each block.

    Yields, once for each batch, the seconds that its part took. Until the next one, the model computes only its last
    block and what follows it, for this batch. Raises `UserError` if the model's output differs from its own block by
    block.
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
    begun, states, _ = kept.restore_states()
    for one, hidden in zip(recordings, states, strict=False):  # none without an interrupted pass
        one.hidden = hidden.to(one.hidden.device)
    with torch.inference_mode(), quick_products(recordings[0].hidden.dtype):
        for index in range(begun, last):
            for one in recordings:
                one.hidden = one.calls[index].run(blocks[index], one.hidden)
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
