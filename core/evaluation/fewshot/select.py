"""Which demonstrations of a pool stand before each question, and in what order.

`nearest`: those whose questions the dense model finds most like it (Liu et al., What Makes Good In-Context Examples for
GPT-3?, 2021, arXiv:2101.06804, with the model's own hidden states for a sentence encoder's). `likely`: those that it
finds likeliest word by word (Gonen et al., Demystifying Prompts in Language Models via Perplexity Estimation, 2022,
arXiv:2212.04037, of demonstrations alone), the same for all questions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.evaluation.fewshot.prompts import Documents, question, shown

if TYPE_CHECKING:
    from torch import Tensor

    from core.data.harness import LocalTask
    from core.evaluation.fewshot.dense import DenseModel
    from core.specs import Fewshot


def select_examples(
    how: Fewshot, task: LocalTask, documents: Documents, pool: Documents, dense: DenseModel
) -> list[tuple[int, ...]]:
    """Return of each document the places in the pool of its demonstrations, in the order of the prompt."""
    likeness = None
    if how.k and (how.selector == "nearest" or how.order == "similar-last"):
        questions = [question(task, document) for document in (*documents, *pool)]
        meanings = dense.embed(questions)  # (documents + pool, hidden)
        likeness = meanings[: len(documents)] @ meanings[len(documents) :].T  # (documents, pool)
    drawn = _drawn(how, task, documents, pool, dense, likeness)
    if likeness is None or how.order == "drawn":
        return drawn
    lines = likeness.tolist()
    return [tuple(sorted(places, key=line.__getitem__)) for places, line in zip(drawn, lines, strict=True)]


def _drawn(
    how: Fewshot, task: LocalTask, documents: Documents, pool: Documents, dense: DenseModel, likeness: Tensor | None
) -> list[tuple[int, ...]]:
    if how.selector == "random":  # by the question, so that it has the same ones wherever else it is scored
        return [
            tuple(random.Random(question(task, document)).sample(range(len(pool)), how.k)) for document in documents
        ]
    if how.selector == "nearest" and likeness is not None:
        return [tuple(places) for places in likeness.topk(how.k).indices.tolist()]
    first = range(len(pool)) if how.selector == "first" else _by_likelihood([shown(task, one) for one in pool], dense)
    return [tuple(first[: how.k])] * len(documents)


def _by_likelihood(texts: Sequence[str], dense: DenseModel) -> list[int]:
    """Return the places of texts, the one of the lowest perplexity first."""
    pairs = [dense.lm.encode("", text) for text in texts]
    scores = dense.lm.score(pairs)
    losses = [-score / len(tokens) for (score, _), (_, tokens) in zip(scores, pairs, strict=True)]
    return sorted(range(len(texts)), key=losses.__getitem__)
