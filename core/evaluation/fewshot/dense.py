"""The dense model's embeddings and continuations of texts, for building prompts."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.evaluation.scorer import SharedPrefixLM
from core.models.parts.blocks import body
from core.models.parts.products import quick_products

READ = 512  # maximum tokens of a text in its embedding
BATCH = 16  # texts per forward pass


class DenseModel:
    """The dense model, loaded at first use; `key` is the key of the variant without stages."""

    def __init__(self, key: str, load: Callable[[], PreTrainedModel], tokenizer: PreTrainedTokenizerBase):
        self.key, self.load, self.tokenizer = key, load, tokenizer

    @cached_property
    def lm(self) -> SharedPrefixLM:
        return SharedPrefixLM(self.load(), self.tokenizer)

    def free(self) -> None:
        """Release the memory of the model."""
        self.__dict__.pop("lm", None)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the normalised mean of the last hidden states over each text's tokens, (texts, hidden)."""
        model = self.lm.model
        embeddings: list[Tensor] = [torch.empty(0)] * len(texts)
        for places, ids, seen in self._batches([self.lm.tok_encode(text)[:READ] for text in texts], "right"):
            with quick_products(model.dtype):
                states = body(model)(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
            mask = seen[..., None].to(states.dtype)  # (batch, tokens, 1)
            means = (states * mask).sum(1) / mask.sum(1)  # (batch, hidden)
            for place, mean in zip(places, torch.nn.functional.normalize(means.float(), dim=-1).cpu(), strict=True):
                embeddings[place] = mean
        return torch.stack(embeddings)

    @torch.inference_mode()
    def generate(self, texts: Sequence[str], tokens: int, done: Callable[[int], None]) -> list[str]:
        """Continue texts greedily to the line's end; `done` gets the number of texts after each batch."""
        model, ends = self.lm.model, self.tokenizer.eos_token_id
        continuations = [""] * len(texts)
        for places, ids, seen in self._batches([self.lm.tok_encode(text) for text in texts], "left"):
            generated = model.generate(
                input_ids=ids, attention_mask=seen, max_new_tokens=tokens, do_sample=False, pad_token_id=ends
            )
            for place, line in zip(places, generated[:, ids.shape[1] :], strict=True):
                text = str(self.tokenizer.decode(line, skip_special_tokens=True)).strip()
                continuations[place] = text.split("\n", 1)[0].strip()
            done(len(places))
        return continuations

    def _batches(self, encoded: Sequence[list[int]], side: str) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield (places, ids, attention mask) of texts of similar length, padded on a side; (batch, tokens) both."""
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
