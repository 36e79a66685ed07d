"""Selection and order of few-shot examples.

`nearest` selects the examples whose questions have the most similar embeddings in the dense model (Liu et al., What
Makes Good In-Context Examples for GPT-3?, 2021, arXiv:2101.06804; here without a sentence encoder). `likely` selects
the examples with the lowest perplexity, the same for all questions (Gonen et al., Demystifying Prompts in Language
Models via Perplexity Estimation, 2022, arXiv:2212.04037; here of single examples).
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
    """Return the places in the pool of each document's examples, in prompt order."""
    similarity = None
    if how.k and (how.selector == "nearest" or how.order == "similar-last"):
        questions = [question(task, document) for document in (*documents, *pool)]
        embeddings = dense.embed(questions)  # (documents + pool, hidden)
        similarity = embeddings[: len(documents)] @ embeddings[len(documents) :].T  # (documents, pool)
    drawn = _drawn(how, task, documents, pool, dense, similarity)
    if similarity is None or how.order == "drawn":
        return drawn
    lines = similarity.tolist()
    return [tuple(sorted(places, key=line.__getitem__)) for places, line in zip(drawn, lines, strict=True)]


def _drawn(
    how: Fewshot, task: LocalTask, documents: Documents, pool: Documents, dense: DenseModel, similarity: Tensor | None
) -> list[tuple[int, ...]]:
    if how.selector == "random":  # seeded by the question, so that its examples do not depend on the other documents
        return [
            tuple(random.Random(question(task, document)).sample(range(len(pool)), how.k)) for document in documents
        ]
    if how.selector == "nearest" and similarity is not None:
        return [tuple(places) for places in similarity.topk(how.k).indices.tolist()]
    first = range(len(pool)) if how.selector == "first" else _by_likelihood([shown(task, one) for one in pool], dense)
    return [tuple(first[: how.k])] * len(documents)


def _by_likelihood(texts: Sequence[str], dense: DenseModel) -> list[int]:
    """Return the places of texts, lowest perplexity first."""
    pairs = [dense.lm.encode("", text) for text in texts]
    scores = dense.lm.score(pairs)
    losses = [-score / len(tokens) for (score, _), (_, tokens) in zip(scores, pairs, strict=True)]
    return sorted(range(len(texts)), key=losses.__getitem__)
