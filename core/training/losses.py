"""Losses on next tokens, summed over the counted tokens, with logits for only a few rows at a time.

References: Hinton et al., 2015 (arXiv:1503.02531), for the loss on softened probabilities, times the temperature
squared; Agarwal et al., On-Policy Distillation, 2023 (arXiv:2306.13649), for the three divergences.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from operator import add
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from core.evaluation.states import output_scale
from core.methods.cost import LOGIT_BYTES
from core.models.modeling_slimscope import FactoredHead
from core.models.parts.blocks import body, find_blocks, first
from core.training.examples import Batch

Divergence = Literal["forward", "reverse", "jensen-shannon"]
CHUNK_BYTES = LOGIT_BYTES // 4  # logits in memory at once, without their gradients
# loss(logits (rows, vocabulary) fp32, rows): the sum over some of the counted tokens.
RowLoss = Callable[[Tensor, slice], Tensor]


def states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Compute the hidden states from which the head predicts the counted tokens, (counted tokens, hidden)."""
    hidden = body(model)(input_ids=batch.ids, use_cache=False).last_hidden_state  # (B, L, hidden)
    counted: Tensor = hidden[:, :-1][batch.counts]
    return counted


@contextmanager
def block_outputs(model: PreTrainedModel, wanted: bool = True) -> Iterator[list[Tensor]]:
    """Yield a list that a forward pass fills with the output of each block, (B, L, hidden), if `wanted`."""
    outputs: list[Tensor] = []
    with ExitStack() as hooks:
        for block in find_blocks(model).holder if wanted else ():
            hooks.enter_context(block.register_forward_hook(lambda module, args, output: outputs.append(first(output))))
        yield outputs


@contextmanager
def recomputed(model: PreTrainedModel, wanted: bool = True) -> Iterator[None]:
    """Let each block store only its input in a forward pass, and run again in the backward pass, if `wanted`.

    Its random numbers are the same again, so the gradients are equal.
    """
    blocks = list(find_blocks(model).holder) if wanted else []
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def states_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor], batch: Batch) -> Tensor:
    """Compute |h - h'|^2 / |h'|^2, summed over the counted tokens and averaged over the blocks.

    `ours` and `theirs` are the block outputs h of the student and h' of the teacher, (B, L, hidden).
    """
    distances = []
    for mine, wanted in zip(ours, theirs, strict=True):
        mine, wanted = (states[:, :-1][batch.counts].float() for states in (mine, wanted))  # (tokens, hidden)
        distances.append(((mine - wanted).square().sum(-1) / wanted.square().sum(-1).clamp_min(1e-12)).sum())
    return reduce(add, distances) / len(theirs)


def targets(batch: Batch) -> Tensor:
    """Return the tokens to predict, (counted tokens,)."""
    return batch.ids[:, 1:][batch.counts]


def through_head(model: PreTrainedModel, hidden: Tensor, loss: RowLoss) -> Tensor:
    """Sum `loss` over all rows of `hidden`, (rows, hidden); the head gets no gradient.

    The gradient of each chunk of rows is computed at once, so that memory contains the logits of one chunk only.
    """
    total: Tensor = _ThroughHead.apply(hidden, model, loss)
    return total


def chunk_rows(head: nn.Linear | FactoredHead) -> int:
    """Return the number of tokens whose logits, fp32, are in memory at once."""
    return max(1, CHUNK_BYTES // (4 * head.out_features))


class _ThroughHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # Any: torch adds attributes
        hidden: Tensor,
        model: PreTrainedModel,
        loss: RowLoss,
    ) -> Tensor:
        head, scale = model.get_output_embeddings(), output_scale(model)
        rows = chunk_rows(head)
        total = hidden.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), rows):
            part = slice(start, min(start + rows, len(hidden)))
            with torch.set_grad_enabled(gradient is not None):
                chunk = hidden[part].detach().requires_grad_(gradient is not None)
                value = loss(scale(head(chunk)).float(), part)
            if gradient is not None:
                (gradient[part],) = torch.autograd.grad(value, chunk)
            total += value.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # Any: torch adds attributes
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None


def next_token(wanted: Tensor) -> RowLoss:
    """Return the cross-entropy loss of the tokens `wanted`, (rows,)."""
    return lambda logits, part: _CrossEntropy.apply(logits, wanted[part])


class _CrossEntropy(torch.autograd.Function):
    """The sum over rows of -log softmax(logits)[wanted]; its gradient, softmax minus one-hot, needs one buffer."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, wanted: Tensor) -> Tensor:  # Any: torch adds attributes
        wanted, most = wanted[:, None], logits.amax(-1, keepdim=True)  # (rows, 1)
        gradient = (logits - most).exp_()  # (rows, vocabulary)
        total = gradient.sum(-1, keepdim=True)
        if ctx.needs_input_grad[0]:
            gradient.div_(total).scatter_add_(1, wanted, torch.full_like(total, -1.0))
            ctx.save_for_backward(gradient)
        return (total.log() + most - logits.gather(1, wanted)).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:  # Any: torch adds attributes
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None


def text_loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Compute the cross-entropy of the batch's next tokens, summed over the counted ones."""
    return through_head(model, states(model, batch), next_token(targets(batch)))


def divergence(kind: Divergence, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Sum a divergence between softened predictions over rows, times the temperature squared.

    Args:
        kind: Forward, KL(teacher || student); reverse, KL(student || teacher); or Jensen-Shannon, the mean of
            KL(student || mixture) and KL(teacher || mixture).
        student: Logits, (rows, vocabulary) fp32.
        teacher: Logits, (rows, vocabulary) fp32.
        temperature: Divisor of the logits.
    """
    ours, theirs = (log_softmax(logits / temperature, dim=-1) for logits in (student, teacher))
    if kind == "forward":
        value = _kl(theirs, ours)
    elif kind == "reverse":
        value = _kl(ours, theirs)
    else:
        mixture = torch.logaddexp(ours, theirs) - math.log(2)
        value = (_kl(ours, mixture) + _kl(theirs, mixture)) / 2
    return value * temperature**2


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Sum KL(p || q) of log-probabilities over rows."""
    return kl_div(q, p, log_target=True, reduction="sum")
