"""What is trained on: windows of a text, or answers to prompts, in batches that follow from the seed and the step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from core.data.corpora import calibration_windows, instructions
from core.data.instructions import Pair
from core.errors import UserError
from core.specs import TextWindows

SORTED_BATCHES = 8  # among which examples are sorted by length, so that little is padded


@dataclass(frozen=True)
class Example:
    ids: Tensor  # (L,) int64
    prompt: int = 0  # tokens at the start that are read and not learnt


@dataclass(frozen=True)
class Batch:
    ids: Tensor  # (B, L) int64, padded on the right: attention is causal, so nothing that counts sees the padding
    counts: Tensor  # (B, L - 1) bool, True where the token after this one is to be predicted

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids.to(device), self.counts.to(device))

    def split(self, tokens: int) -> list[Batch]:
        """Return parts of whole rows of at most about so many tokens."""
        rows = max(1, tokens // self.ids.shape[1])
        return [Batch(ids, counts) for ids, counts in zip(self.ids.split(rows), self.counts.split(rows), strict=True)]


def read_examples(wanted: TextWindows, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[Example]:
    """Return N examples of at most L tokens: windows of a text, or instructions of which the answers are learnt.

    Raises `UserError` where the corpus has fewer.
    """
    pairs = instructions(wanted.corpus)
    if pairs is None:
        return [Example(ids) for ids in calibration_windows(wanted, tokenizer, seed)]
    fitting = _fitting([pair for pair in pairs if pair[1].strip()], wanted, tokenizer, seed)
    return [encode(prompt, answer, tokenizer, wanted.window) for prompt, answer in fitting]


def read_prompts(wanted: TextWindows, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[str]:
    """Return N prompts of less than L tokens: of instructions, or the first halves of windows of a text."""
    pairs = instructions(wanted.corpus)
    if pairs is None:
        windows = calibration_windows(wanted, tokenizer, seed)
        # A begin token is put there again when the prompt is read.
        return [str(tokenizer.decode(ids[: wanted.window // 2], skip_special_tokens=True)) for ids in windows]
    return [prompt for prompt, _ in _fitting(pairs, wanted, tokenizer, seed)]


def encode(prompt: str, answer: str, tokenizer: PreTrainedTokenizerBase, longest: int) -> Example:
    """Return a prompt with its answer and the end of text, cut to so many tokens.

    A token that is partly the prompt's and partly the answer's, as a space at the prompt's end makes it, is learnt.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids = (tokenizer(prompt + answer)["input_ids"] + end)[:longest]
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(tokenizer(prompt)["input_ids"], ids, strict=False))
    return Example(torch.tensor(ids), sum(1 for _ in alike))


def _fitting(pairs: list[Pair], wanted: TextWindows, tokenizer: PreTrainedTokenizerBase, seed: int) -> list[Pair]:
    """Return the first N pairs, shuffled by the seed, whose prompts leave room for an answer."""
    random.Random(seed).shuffle(pairs)
    found: list[Pair] = []
    for pair in pairs:
        if len(tokenizer(pair[0])["input_ids"]) < wanted.window:
            found.append(pair)
        if len(found) == wanted.windows:
            return found
    raise UserError(
        f"{wanted.corpus} is too short: it has {len(found)} instructions whose prompts fit {wanted.window} tokens, not "
        f"{wanted.windows}."
    )


class Examples:
    """Examples to train on, and those held out: `held_out` of them, drawn by the seed."""

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
        """Return the batch of a step, counted from 0: every example once an epoch, in an order of its own."""
        epoch, place = divmod(step, self.steps_an_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._order(epoch)
        return collate([self.training[index] for index in self._epoch[1][place]])

    def _order(self, epoch: int) -> list[list[int]]:
        draw = random.Random(f"{self.seed} epoch {epoch}")
        order = list(range(len(self.training)))
        draw.shuffle(order)
        batches = []
        size = self.batch_size
        for start in range(0, len(order), size * SORTED_BATCHES):
            group = sorted(order[start : start + size * SORTED_BATCHES], key=lambda i: len(self.training[i].ids))
            batches += [group[first : first + size] for first in range(0, len(group), size)]
        draw.shuffle(batches)
        return batches


def collate(examples: Sequence[Example]) -> Batch:
    """Return examples as one batch, padded with token 0."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.int64)
    counts = torch.zeros(len(examples), longest - 1, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = example.ids
        counts[row, max(example.prompt - 1, 0) : len(example.ids) - 1] = True
    return Batch(ids, counts)
