"""Training data: sequences of a text, or answers to prompts, in batches that depend on seed and step."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core.base.errors import UserError
from core.data.corpus import Pair
from core.data.windows import TextData, calibration_windows

SORTED_BATCHES = 8  # batches whose examples are sorted together by length, to reduce padding


@dataclass(frozen=True)
class Example:
    """Training example of L tokens."""

    ids: Tensor  # (L,) int64
    prompt: int = 0  # tokens at the start without a loss


@dataclass(frozen=True)
class Batch:
    """Batch of B training examples of at most L tokens."""

    ids: Tensor  # (B, L) int64, padded on the right, where causal attention of the counted tokens does not see it
    counts: Tensor  # (B, L - 1) bool, True if the prediction of the next token counts

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.ids.to(device), self.counts.to(device))

    def split(self, tokens: int) -> "list[Batch]":
        """Split the batch into parts of whole rows, each of at most `tokens` tokens if a row allows it."""
        rows = max(1, tokens // self.ids.shape[1])
        return [Batch(ids, counts) for ids, counts in zip(self.ids.split(rows), self.counts.split(rows), strict=True)]


def read_examples(data: TextData, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[Example]:
    """Read N examples of at most L tokens: sequences of a text, or instructions with a loss on their answers.

    Raises `UserError` if the corpus has fewer.
    """
    pairs = data.corpus.pairs
    if pairs is None:
        return [Example(ids) for ids in calibration_windows(data, tokenizer, seed)]
    fitting = _fitting([pair for pair in pairs if pair[1].strip()], data, tokenizer, seed)
    return [encode(prompt, answer, tokenizer, data.wanted.window) for prompt, answer in fitting]


def read_prompts(data: TextData, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[str]:
    """Read N prompts of less than L tokens: of instructions, or the first halves of sequences of a text."""
    pairs = data.corpus.pairs
    if pairs is None:
        windows = calibration_windows(data, tokenizer, seed)
        # The tokenizer adds the begin token again when it encodes the prompt.
        return [str(tokenizer.decode(ids[: data.wanted.window // 2], skip_special_tokens=True)) for ids in windows]
    return [prompt for prompt, _ in _fitting(pairs, data, tokenizer, seed)]


def encode(prompt: str, answer: str, tokenizer: PreTrainedTokenizerBase, longest: int) -> Example:
    """Encode a prompt, its answer and the end of text, cut to `longest` tokens.

    The answer includes a token that spans its border with the prompt, such as after a space at the prompt's end.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids = (tokenizer(prompt + answer)["input_ids"] + end)[:longest]
    common = takewhile(lambda pair: pair[0] == pair[1], zip(tokenizer(prompt)["input_ids"], ids, strict=False))
    return Example(torch.tensor(ids), sum(1 for _ in common))


def _fitting(pairs: list[Pair], data: TextData, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[Pair]:
    """Shuffle pairs by the seed, and return the first N whose prompts have less than L tokens."""
    random.Random(seed).shuffle(pairs)
    fitting: list[Pair] = []
    wanted = data.wanted
    for pair in pairs:
        if len(tokenizer(pair[0])["input_ids"]) < wanted.window:
            fitting.append(pair)
        if len(fitting) == wanted.windows:
            return fitting
    raise UserError(
        f"{wanted.corpus} is too short: it has {len(fitting)} instructions whose prompts fit {wanted.window} tokens, "
        f"not {wanted.windows}; use fewer or longer examples."
    )


class Examples:
    """Training examples and `held_out` random held-out ones, chosen by the seed."""

    def __init__(self, examples: Sequence[Example], batch: int, held_out: int, seed: int):
        order = list(range(len(examples)))
        random.Random(f"{seed} held out").shuffle(order)
        self.batch_size, self.seed = batch, seed
        self.held_out = [collate([examples[index]]) for index in sorted(order[:held_out])]
        self.training = [examples[index] for index in sorted(order[held_out:])]
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    @property
    def steps_an_epoch(self) -> int:
        return -(-len(self.training) // self.batch_size)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0; each epoch has every example once, in a new order."""
        epoch, place = divmod(step, self.steps_an_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._order(epoch)
        return collate([self.training[index] for index in self._epoch[1][place]])

    def _order(self, epoch: int) -> list[list[int]]:
        generator = random.Random(f"{self.seed} epoch {epoch}")
        order = list(range(len(self.training)))
        generator.shuffle(order)
        batches = []
        size = self.batch_size
        for start in range(0, len(order), size * SORTED_BATCHES):
            group = sorted(order[start : start + size * SORTED_BATCHES], key=lambda i: len(self.training[i].ids))
            batches += [group[first : first + size] for first in range(0, len(group), size)]
        generator.shuffle(batches)
        return batches


def collate(examples: Sequence[Example]) -> Batch:
    """Combine examples into one batch, padded with token 0."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.int64)
    counts = torch.zeros(len(examples), longest - 1, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = example.ids
        counts[row, max(example.prompt - 1, 0) : len(example.ids) - 1] = True
    return Batch(ids, counts)
