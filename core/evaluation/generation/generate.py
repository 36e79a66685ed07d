"""Generation of an answer, token by token, with the log-probability and the likeliest tokens at each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from core.base.errors import UserError
from core.evaluation.generation.pieces import Pieces
from core.evaluation.generation.sampling import LIKELIEST, Candidate, Sampling, Token
from core.evaluation.generation.steps import step

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    sampling: Sampling,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Token]:
    """Yield the tokens after a prompt; a token that ends the text is the last one.

    Args:
        model: Causal LM in evaluation mode.
        tokenizer: Its tokenizer.
        prompt: Token ids of the prompt.
        sampling: Choice and number of tokens.
        stopped: Called before each token; True ends the answer.

    Raises:
        UserError: The prompt is empty, it and the answer exceed the model's context, or a logit is not finite.
    """
    _check_length(model, len(prompt), sampling.tokens)
    ends, pieces = end_ids(model, tokenizer), Pieces(tokenizer, prompt)
    draws = torch.Generator().manual_seed(sampling.seed)
    given, past = torch.tensor([list(prompt)], device=model.device), None  # (1, L)
    for number in range(1, sampling.tokens + 1):
        if stopped():
            return
        with torch.inference_mode():
            read = step(model, given, past, last=True)
        logits, past = read.logits[0, -1].float().cpu(), read.cache  # (1, 1, vocabulary) -> (vocabulary,)
        if not logits.isfinite().all():
            raise UserError("The model's logits are not finite, so it has no answer; choose a smaller amount.")
        logprobs = logits.log_softmax(0)  # (vocabulary,)
        chosen = int(logits.argmax()) if sampling.greedy else _draw(logits, sampling, draws)
        values, ids = logprobs.topk(min(LIKELIEST, len(logprobs)))  # (LIKELIEST,)
        likeliest = [
            Candidate(pieces.preview(id), value) for id, value in zip(ids.tolist(), values.tolist(), strict=True)
        ]
        last = chosen in ends or number == sampling.tokens
        text = pieces.add(chosen, last)
        yield Token(chosen, text, float(logprobs[chosen]), tuple(likeliest), chosen in ends)
        if last:
            return
        given = torch.tensor([[chosen]], device=model.device)  # (1, 1)


def _draw(logits: Tensor, sampling: Sampling, draws: torch.Generator) -> int:
    """Draw a token among the likeliest ones that together have the probability `top_p`."""
    probabilities, ids = (logits / sampling.temperature).softmax(0).sort(descending=True)  # (vocabulary,)
    before = probabilities.cumsum(0) - probabilities  # (vocabulary,): of all likelier tokens
    probabilities[before >= sampling.top_p] = 0
    return int(ids[torch.multinomial(probabilities, 1, generator=draws)])


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the tokens that end a text, by the model's own settings and its tokenizer."""
    ends = set[int]()
    settings = getattr(model, "generation_config", None)
    for known in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        ends |= {known} if isinstance(known, int) else set(known or ())
    return ends


def _check_length(model: PreTrainedModel, prompt: int, tokens: int) -> None:
    if not prompt:
        raise UserError("The prompt is empty; type one.")
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if most and prompt + tokens > most:
        raise UserError(
            f"The prompt has {prompt} tokens and the answer at most {tokens}, but the model's context has only {most}; "
            "shorten one of them."
        )
