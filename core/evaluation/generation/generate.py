"""Generation of an answer, token by token, with the log-probability and the likeliest tokens at each step."""

import inspect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

from core.base.errors import UserError
from core.base.window_start import window_start
from core.evaluation.generation.sampling import LIKELIEST, Candidate, Sampling, Token
from core.models.loading import sentences

BEFORE = 8  # tokens of the prompt that decide how the first piece reads, such as by a space
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # of bytes that are no whole character


class Pieces:
    """The text of each token of an answer; together they are the text of the answer.

    A token of a byte-level tokenizer may end inside a character. Its text is empty, and the token that completes the
    character has all of it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]):
        self._tokenizer = tokenizer
        self._context = list(prompt[-BEFORE:])  # tokens whose text is complete
        self._open: list[int] = []  # tokens of an unfinished character

    def add(self, token: int, last: bool = False) -> str:
        """Return the text that a token completes; the `last` one also ends an unfinished character."""
        text = self._text([*self._open, token])
        self._open.append(token)
        if text.endswith(UNFINISHED) and not last:
            return ""
        self._context, self._open = [*self._context, *self._open][-BEFORE:], []
        return text

    def preview(self, token: int) -> str:
        """Return the text that a token would complete."""
        return self._text([*self._open, token])

    def _text(self, tokens: list[int]) -> str:
        """Return the text of tokens after the context, as a token alone may lose its space."""
        return self._decode([*self._context, *tokens])[len(self._decode(self._context)) :]

    def _decode(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)  # of one list
        return text


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, chat: bool) -> list[int]:
    """Return the tokens of a prompt, by `chat` inside the model's chat template; raise `UserError` if that fails."""
    if chat and tokenizer.chat_template:
        messages = [{"role": "user", "content": prompt}]
        with sentences("The model's chat template could not be applied"):
            prompt = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])  # which the template writes itself
    ids, start = list(tokenizer(prompt)["input_ids"]), window_start(tokenizer)
    return ids if ids[: len(start)] == start else start + ids


class Step(NamedTuple):
    """What a forward pass returns."""

    logits: Tensor  # (B, L, vocabulary), or (B, 1, vocabulary) of the last position
    cache: Cache


def step(model: PreTrainedModel, ids: Tensor, cache: Cache | None = None, last: bool = False) -> Step:
    """Run a model on tokens (B, L) that follow those in a cache, which the pass extends; `last` limits the logits."""
    # transformers 5 renamed `past_key_values`, and its next versions drop the old name.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    output = model(input_ids=ids, use_cache=True, logits_to_keep=int(last), **{name: cache})
    return Step(output.logits, getattr(output, name))


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: Sequence[int],
    sampling: Sampling,
) -> Iterator[Token]:
    """Yield the tokens after a prompt, of token ids; a token that ends the text is the last one.

    Raises `UserError` if the prompt is empty, it and the answer exceed the model's context, or a logit is not finite.
    """
    _check_length(model, len(prompt), sampling.tokens)
    ends, pieces = end_ids(model, tokenizer), Pieces(tokenizer, prompt)
    draws = torch.Generator().manual_seed(sampling.seed)
    given, past = torch.tensor([list(prompt)], device=model.device), None  # (1, L)
    for number in range(1, sampling.tokens + 1):
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
