"""Task accuracy, zero-shot or with few-shot examples: the harness' prompts and metrics, with shared prefixes."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pandas as pd
from lm_eval.utils import handle_non_serializable, hash_string
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.base.progress import Progress, silent
from core.cache.folders import read_small, write_small
from core.data.harness import LocalTask
from core.data.tasks import OpenTask
from core.evaluation.fewshot.build import build
from core.evaluation.fewshot.dense import DenseModel
from core.evaluation.fewshot.prompts import Document, Documents, Prompt, requests
from core.evaluation.outcomes import METRICS, summary
from core.evaluation.scorer import SharedPrefixLM
from core.protocols import task_protocol
from core.results import Measurement
from core.specs import ZERO_SHOT, Task, sha256

Encoded = tuple[list[int], list[int]]  # (context, continuation) of a request, in tokens


@dataclass
class TaskOutcome:
    """The measurements of a task and the outcomes of its documents.

    `samples` has a row per document: doc_id (its place among the scored ones), doc_hash (the harness'), target,
    loglikelihoods (one per choice), prediction (the likeliest choice; missing for a single choice) and a column per
    metric. As in the harness, perplexity is a log-likelihood. Few-shot prompts add `shots` (places in the pool, in
    prompt order), `instruction` and `reasoning`.
    """

    task: Task
    measurements: list[Measurement]
    samples: pd.DataFrame


@dataclass
class Part:
    """A task of the harness, or one subject of a group of tasks, with its documents."""

    task: LocalTask
    documents: list[Document]
    encoded: list[list[Encoded]]  # of each document
    prompts: tuple[Prompt, ...] | None  # of each document; None if zero-shot


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[Task, OpenTask],
    dtype: str,
    progress: Progress = silent,
    cache: Path | None = None,
    dense: DenseModel | None = None,
    by_block: str | None = None,
) -> Iterator[TaskOutcome]:
    """Evaluate a causal LM on tasks, and yield the outcome of each task as soon as it is complete.

    The limit of a group of tasks (mmlu) is per subject. `dtype` names the precision in the protocol. `cache` is the
    folder for tokenised requests and prompts, if any. Few-shot prompts are built from the dense model. `by_block` is
    the key of a model that exceeds the memory, so that many batches pass a block before any passes the next.
    """
    lm = SharedPrefixLM(model, tokenizer, by_block=by_block)
    prepared = []
    for index, (task, read) in enumerate(tasks.items()):
        prepared.append(prepare(lm, task, read, cache, dense, progress))
        progress("requests", index + 1, len(tasks), task.task)
    if dense:
        dense.free()
    total = sum(len(pairs) for parts in prepared for part in parts for pairs in part.encoded)
    finished = 0
    progress("tasks", 0, total, next(iter(tasks)).task)
    for (task, read), parts in zip(tasks.items(), prepared, strict=True):

        def done(requests: int, name: str = task.task) -> None:
            nonlocal finished
            finished += requests
            progress("tasks", finished, total, name)

        began, tokens = time.perf_counter(), lm.tokens
        scores = lm.score([pair for part in parts for pairs in part.encoded for pair in pairs], done)
        details = {"seconds": round(time.perf_counter() - began, 3), "tokens": lm.tokens - tokens}
        if dropped := sum(prompt.dropped for part in parts for prompt in part.prompts or ()):
            details["dropped"] = dropped
        samples = judge(parts, scores)
        values = {metric: summary(metric, samples) for metric in METRICS if metric in samples}
        protocol = task_protocol(task, dtype) | {"version": parts[0].task.VERSION, "source": read.source.source}
        measurements = [
            Measurement(metric=metric, dataset=read.source.id, protocol=protocol, details=details, **fields)
            for metric, fields in values.items()
        ]
        yield TaskOutcome(task, measurements, samples)


def prepare(
    lm: SharedPrefixLM, task: Task, read: OpenTask, cache: Path | None, dense: DenseModel | None, progress: Progress
) -> list[Part]:
    """Return the parts of a task with their tokenised requests."""
    parts = []
    for name, part in read.parts.items():
        documents = list(islice(part.eval_docs, task.limit))
        folder = cache / "requests" if cache else None
        if task.fewshot == ZERO_SHOT:
            zero = partial(_plain, part, documents)
            parts.append(
                Part(part, documents, encode(lm, zero, f"{read.source.id} {name}", len(documents), folder), None)
            )
            continue
        if dense is None:
            raise TypeError("Few-shot prompts need the dense model; pass `dense`.")
        built = build(task, f"{read.source.id} {name}", part, documents, lm, dense, cache, progress)
        encoded = encode(lm, built.requests, built.name, len(documents), folder)
        parts.append(Part(part, documents, encoded, built.prompts))
    return parts


def _plain(task: LocalTask, documents: Documents, place: int) -> list[tuple[str, str]]:
    return requests(task, documents[place])


def encode(
    lm: SharedPrefixLM,
    requests: Callable[[int], Sequence[tuple[str, str]]],
    name: str,
    documents: int,
    cache: Path | None,
) -> list[list[Encoded]]:
    """Tokenise the requests of a task's first documents, or read them from the folder `cache`, if there is one.

    `requests` returns the (context, continuation) pairs of the document at a place. One file per tokenizer and `name`
    of a task and its text has the requests of the first documents; a request for more documents replaces it.
    """
    file = (
        cache / _tokenizer_hash(lm.tokenizer)[:16] / f"{sha256(name, lm_eval.__version__)[:16]}.json" if cache else None
    )
    known = json.loads(content) if file and (content := read_small(file)) else []
    if len(known) < documents:
        known = [[lm.encode(*request) for request in requests(place)] for place in range(documents)]
        if file:
            write_small(file, json.dumps(known).encode())
    return [[(context, continuation) for context, continuation in pairs] for pairs in known[:documents]]


def _tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the sha256 of everything that determines how a tokenizer splits a text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    state = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return sha256(type(tokenizer).__name__, state, repr((tokenizer.bos_token_id, tokenizer.eos_token_id)))


def judge(parts: Sequence[Part], scores: Sequence[tuple[float, bool]]) -> pd.DataFrame:
    """Return the samples, the harness' metrics of the scores of each document."""
    rows: list[dict[str, Any]] = []  # Any: each column has a type of its own
    remaining = iter(scores)
    for part in parts:
        prompts = [one.model_dump(exclude={"dropped"}) for one in part.prompts or ()] or [{}] * len(part.documents)
        for document, pairs, prompt in zip(part.documents, part.encoded, prompts, strict=True):
            answers = list(islice(remaining, len(pairs)))
            metrics = part.task.process_results(document, answers)
            likelihoods = [likelihood for likelihood, _ in answers]
            target = part.task.doc_to_text(document) if part.task.multiple_input else part.task.doc_to_target(document)
            rows.append(
                {
                    "doc_id": len(rows),
                    "doc_hash": hash_string(
                        json.dumps(document, indent=2, default=handle_non_serializable, ensure_ascii=False)
                    ),
                    "target": target,
                    "loglikelihoods": likelihoods,
                    "prediction": int(np.argmax(likelihoods)) if len(pairs) > 1 else None,
                    **{name: float(metrics[name]) for name in METRICS if name in metrics},
                    **prompt,
                }
            )
    return pd.DataFrame(rows).astype({"prediction": "Int64"})
