"""Log-likelihoods of continuations, equal to those of lm-evaluation-harness' `HFLM` but faster.

HFLM repeats the context for every choice and computes logits at every position. Here requests with a common prefix
share a token tree (`core.evaluation.trees`), which runs in one forward pass under a mask of ancestors. The output head
runs only at scored positions. For 16-bit models the head runs in fp32 on the hidden states, since 16-bit logits are
coarser than the difference between many choices. Not every model computes a tree like plain sequences, so a first test
on real requests decides between both.
"""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import has_bos_prefix, resolve_max_length
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from core.base.errors import UserError
from core.evaluation.states import passes_by_block
from core.evaluation.trees import Request, Row, batches, grow, pack
from core.models.modeling_slimscope import FactoredHead
from core.models.parts.products import quick_products
from core.models.parts.recorder import Inputs

log = logging.getLogger(__name__)

BUDGET = {"cpu": 512, "cuda": 8192}  # padded tokens per forward pass
LENGTH = 128  # maximum tokens of a row with several trees
LINES = 32  # scored positions per chunk of exponentials, so that a chunk fits into the CPU cache
TOLERANCE = {torch.float32: 1e-4}  # difference between a tree and plain sequences, over the logits' spread
COARSE = 0.05  # the tolerance at 16 bits


class SharedPrefixLM(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """A Hugging Face causal LM in memory, with the interface of lm-evaluation-harness; likelihoods only."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        budget: int | None = None,
        by_block: str | None = None,
    ) -> None:
        """Score with `model` on its device, at most `budget` padded tokens per forward pass.

        `by_block` is the key of a model that exceeds the memory, so that many batches pass a block before any passes
        the next.
        """
        super().__init__()
        self.model, self.tokenizer, self.by_block = model.eval(), tokenizer, by_block
        self.budget = budget or BUDGET.get(model.device.type, BUDGET["cuda"])
        self._device = model.device
        self._head = wide_head(model)
        self.max_length = resolve_max_length(model.config, tokenizer)  # tokens of input
        self.tokens = 0  # computed so far, without padding
        self.positions = 0  # of the output head, computed so far
        self._trees_hold: bool | None = None  # whether trees equal plain sequences; None before the test

    @property
    def eot_token_id(self) -> int:
        eos: int = self.tokenizer.eos_token_id
        return eos

    @property
    def prefix_token_id(self) -> int:
        bos: int | None = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else bos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: bool) -> list[int]:
        if add_special_tokens is None and not has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            ids: list[int] = self.tokenizer.encode(string)
        else:
            ids = self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens))
        return ids

    def encode(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Return the tokens of the context (never empty) and of the continuation, split as the harness does."""
        if context:
            pair: tuple[list[int], list[int]] = self._encode_pair(context, continuation)
        else:
            tokens = self.tok_encode(continuation, add_special_tokens=False)
            pair = (
                (tokens[:1], tokens[1:]) if tokens[:1] == [self.prefix_token_id] else ([self.prefix_token_id], tokens)
            )
        if not pair[1]:
            raise UserError(f"The continuation {continuation!r} adds no token to its context; give a longer one.")
        return pair

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return (log-likelihood, whether greedy decoding produces it) for each (context, continuation)."""
        return self.score([self.encode(*request.args) for request in requests])

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: bool
    ) -> list[tuple[float, bool]]:
        return self.score([(context, continuation) for _, context, continuation in requests])

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        raise UserError("Tasks that score whole documents are not supported; measure perplexity on a corpus.")

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        raise UserError("Tasks that generate text are not supported; choose one that scores given choices.")

    @torch.inference_mode()
    def score(
        self, pairs: Sequence[tuple[list[int], list[int]]], done: Callable[[int], None] = lambda requests: None
    ) -> list[tuple[float, bool]]:
        """Return (log-likelihood in nats, whether greedy decoding produces the continuation) of each pair in tokens.

        A context that is too long loses tokens on its left. `done` gets the number of requests that each forward pass
        finished.
        """
        inputs = [self._fit(context, continuation) for context, continuation in pairs]
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
        for batch in self._passes(inputs, done):
            for request, answer in self._score_batch(batch):
                answers[request] = answer
            self.tokens += sum(map(len, batch))
            done(sum(len(row.scored) for row in batch))
        return answers

    def _fit(self, context: list[int], continuation: list[int]) -> tuple[list[int], list[int]]:
        """Return (input tokens, targets); the last target is not an input, and `max_length` limits the inputs."""
        if len(continuation) > self.max_length:
            raise UserError(
                f"A continuation of {len(continuation)} tokens exceeds the model's maximum length, {self.max_length}."
            )
        return (context + continuation)[-(self.max_length + 1) : -1], continuation

    def _passes(self, inputs: list[Request], done: Callable[[int], None]) -> Iterator[list[Row]]:
        """Yield the rows of each forward pass when it is its turn; call `done` after each block that ran for others."""
        if self.by_block is None:
            yield from self._batches(inputs)
            return
        groups = list(self._batches(inputs))
        inputs_of = [*map(self._inputs, groups)]
        passes = passes_by_block(self.model, inputs_of, self.by_block, lambda block, blocks: done(0))
        for batch, _ in zip(groups, passes, strict=True):
            yield batch

    def _batches(self, inputs: list[Request]) -> Iterator[list[Row]]:
        """Yield the rows of each forward pass: trees, or plain sequences if the model does not support trees."""
        window = local_window(self.model.config)
        rows = grow(inputs, window)
        trees = [row for row in rows if max(row.depths) < window]
        if self._trees_hold is None and len(trees) > 1:
            self._trees_hold = self._try_trees(trees, inputs)
        if not self._trees_hold:
            yield from batches(grow(inputs, 0), self.budget)
            return
        yield from batches([row for row in rows if max(row.depths) >= window], self.budget)
        yield from batches(pack(trees, LENGTH), self.budget)

    def _try_trees(self, trees: list[Row], inputs: list[Request]) -> bool:
        """Return whether the longest and the shortest tree in one row give the logits of their plain sequences."""
        shortest, longest = min(trees, key=len), max(trees, key=lambda row: (not row.plain, len(row)))
        (row,) = pack([longest, shortest], len(longest) + len(shortest))
        some = [row.scored[0], row.scored[len(longest.scored) - 1], row.scored[-1]]
        try:
            together = self._logits([row], [(0, node) for scored in some for node in scored.nodes])
        except Exception as error:  # a model's own code may raise anything for an unexpected mask
            log.info("The model failed on a token tree, so requests run as plain sequences: %s", error)
            return False
        plain = [grow([inputs[scored.request]], 0)[0] for scored in some]
        alone = torch.cat([self._logits([row], [(0, node) for node in row.scored[0].nodes]) for row in plain])
        spread = (alone - alone.mean(-1, keepdim=True)).abs().max()
        difference = ((together - alone).abs().max() / spread).item()
        log.info("Logits of a token tree differ from those of plain sequences by %.1e of their spread.", difference)
        return difference <= TOLERANCE.get(self.model.dtype, COARSE)

    def _score_batch(self, batch: list[Row]) -> Iterator[tuple[int, tuple[float, bool]]]:
        """Yield (request, answer) of every request in the batch."""
        lines: dict[tuple[int, int], int] = {}  # (row, node) -> line of logits, shared by choices of one token
        wanted = [
            (lines.setdefault((index, node), len(lines)), target)
            for index, row in enumerate(batch)
            for scored in row.scored
            for node, target in zip(scored.nodes, scored.targets, strict=True)
        ]
        places, targets = torch.tensor(wanted, device=self.device).T  # (targets,) each
        logits = self._logits(batch, list(lines))  # (lines, vocabulary)
        self.positions += len(lines)
        own = logits[places, targets].float()  # (targets,)
        greedy = logits.argmax(-1)[places] == targets
        total = torch.cat([part.float().logsumexp(-1) for part in logits.split(LINES)])  # (lines,)
        scores = (own - total[places]).tolist()
        start = 0
        for scored in (scored for row in batch for scored in row.scored):
            part = slice(start, start := start + len(scored.targets))
            yield scored.request, (sum(scores[part]), bool(greedy[part].all()))

    def _inputs(self, batch: list[Row]) -> Inputs:
        """Return the model's inputs for rows, which are padded on the right."""
        length = max(map(len, batch))
        tokens = torch.zeros(len(batch), length, dtype=torch.long)
        for index, row in enumerate(batch):
            tokens[index, : len(row)] = torch.tensor(row.tokens)
        inputs = {"input_ids": tokens.to(self.device)}
        if not all(row.plain for row in batch):
            depths = torch.zeros_like(tokens)
            seen = torch.eye(length, dtype=torch.bool).repeat(len(batch), 1, 1)  # padding sees itself
            for index, row in enumerate(batch):
                depths[index, : len(row)] = torch.tensor(row.depths)
                seen[index, : len(row), : len(row)] = torch.from_numpy(row.visible())
            mask = torch.zeros(seen.shape, dtype=self.model.dtype)
            mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)  # (batch, length, length), added to the scores
            inputs |= {"attention_mask": mask[:, None].to(self.device), "position_ids": depths.to(self.device)}
        return inputs

    def _logits(self, batch: list[Row], positions: list[tuple[int, int]]) -> Tensor:
        """Return the logits (positions, vocabulary) at (row, node) positions."""
        index, node = torch.tensor(positions, device=self.device).T
        with head_at(self.model, self._head, index, node) as cut, quick_products(self.model.dtype):
            logits = self.model(**self._inputs(batch), use_cache=False).logits  # (1, positions, vocabulary) if `cut`
        chosen: Tensor = logits[0] if cut else logits[index, node]
        return chosen


def wide_head(model: PreTrainedModel) -> torch.nn.Module | None:
    """Return the output head, as an fp32 copy if it has 16 bits; None if the model's head is not a module."""
    head: torch.nn.Module | None = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear | FactoredHead) or dtype_of(head) not in (torch.bfloat16, torch.float16):
        return head
    wide = copy.deepcopy(head)
    (wide.table if isinstance(wide, FactoredHead) else wide).float()
    return wide


def dtype_of(head: torch.nn.Module) -> torch.dtype:
    """Return the dtype of a head's weights, which may be the embedding's."""
    return next((head.table if isinstance(head, FactoredHead) else head).parameters()).dtype


@contextmanager
def head_at(model: PreTrainedModel, head: torch.nn.Module | None, row: Tensor, column: Tensor) -> Iterator[list[bool]]:
    """Replace the model's output head by `head`, which only gets the hidden states at [row, column].

    The model still applies its own soft cap or scale after the head.

    Yields:
        A list that is not empty after a forward pass with such a selection; empty if the model's head is not a module.
    """
    cut: list[bool] = []
    if head is None:
        yield cut
        return

    def select(module: torch.nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        cut.append(True)
        return (args[0][row, column][None].to(dtype_of(head)), *args[1:])  # (1, positions, hidden)

    own = model.get_output_embeddings()
    with head.register_forward_pre_hook(select):
        try:
            model.set_output_embeddings(head)
            yield cut
        finally:
            model.set_output_embeddings(own)


def local_window(config: PreTrainedConfig) -> int:
    """Return the maximum number of tokens at which every layer of the model still attends to the first token."""
    text = config.get_text_config()
    names = ("sliding_window", "attention_chunk_size", "window_size")
    windows = [value for name in names if isinstance(value := getattr(text, name, None), int) and value > 0]
    return min(windows, default=2**31)
