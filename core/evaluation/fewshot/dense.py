"""What the dense model is asked while prompts are built: what texts mean to it, and how it goes on from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from core.evaluation.linears import QuickLinears
from core.evaluation.scorer import SharedPrefixLM

if TYPE_CHECKING:
    from transformers import PreTrainedModel

READ = 512  # tokens of a text, at most, whose hidden states count
BATCH = 16  # texts that run together


class DenseModel:
    """The uncompressed model, loaded where it is first asked; `key` is that of the variant without stages."""

    def __init__(self, key: str, load: Callable[[], PreTrainedModel], tokenizer: Any):
        self.key, self.load, self.tokenizer = key, load, tokenizer

    @cached_property
    def lm(self) -> SharedPrefixLM:
        return SharedPrefixLM(self.load(), self.tokenizer)

    def free(self) -> None:
        """Give back the memory of the model, if it was loaded."""
        self.__dict__.pop("lm", None)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the mean of the last hidden states over each text's tokens, of length 1: (texts, hidden)."""
        model = self.lm.model
        found: list[Tensor] = [torch.empty(0)] * len(texts)
        for places, ids, seen in self._batches([self.lm.tok_encode(text)[:READ] for text in texts], "right"):
            with QuickLinears():
                states = model.base_model(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
            kept = seen[..., None].to(states.dtype)  # (batch, tokens, 1)
            means = (states * kept).sum(1) / kept.sum(1)  # (batch, hidden)
            for place, mean in zip(places, torch.nn.functional.normalize(means.float(), dim=-1).cpu(), strict=True):
                found[place] = mean
        return torch.stack(found)

    @torch.inference_mode()
    def generate(self, texts: Sequence[str], tokens: int, told: Callable[[int], None]) -> list[str]:
        """Return how each text is continued greedily, by at most so many tokens and to the end of the line."""
        model, ends = self.lm.model, self.tokenizer.eos_token_id
        found = [""] * len(texts)
        for places, ids, seen in self._batches([self.lm.tok_encode(text) for text in texts], "left"):
            made = model.generate(
                input_ids=ids, attention_mask=seen, max_new_tokens=tokens, do_sample=False, pad_token_id=ends
            )
            for place, line in zip(places, made[:, ids.shape[1] :], strict=True):
                said = self.tokenizer.decode(line, skip_special_tokens=True).strip()
                found[place] = said.split("\n", 1)[0].strip()
            told(len(places))
        return found

    def _batches(self, encoded: Sequence[list[int]], side: str) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield (places, ids, which of them are no padding), texts of like length together: (batch, tokens) both."""
        order = sorted(range(len(encoded)), key=lambda place: len(encoded[place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            longest = max(len(encoded[place]) for place in places)
            ids = torch.zeros(len(places), longest, dtype=torch.long)
            seen = torch.zeros_like(ids)
            for line, place in enumerate(places):
                size = len(encoded[place])
                part = slice(longest - size, None) if side == "left" else slice(size)
                ids[line, part], seen[line, part] = torch.tensor(encoded[place]), 1
            yield places, ids.to(self.lm.device), seen.to(self.lm.device)
