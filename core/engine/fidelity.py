"""Fidelity of a model that any tool compressed: its outputs compared with those of the dense model, token by token.

Nothing is stored, because a stored number belongs to a chain of this project that makes its variant again.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
from transformers import PreTrainedTokenizerBase

from core.base.errors import UserError
from core.base.memory import reuse_freed_memory
from core.base.progress import WAITING, Progress, silent
from core.base.window_start import window_start
from core.data.windows import Texts, check_same_vocabulary, evaluation_windows, token_ids, vocabulary_of
from core.engine.session import ScoredText
from core.evaluation.dense_outputs import DenseOutputs
from core.evaluation.outcomes import text_rows
from core.evaluation.perplexity import TextLosses, dense_losses, perplexity
from core.findings.numbers.fidelity import TextFidelity
from core.models.compressed import config_like, load_compressed
from core.models.facts import load_shape
from core.models.folders import read_json
from core.models.kinds.gguf import GGUFKind
from core.models.parts.blocks import execution_device
from core.models.source import ModelSource
from core.models.sources import (
    fetch_compressed,
    fetch_model,
    identify,
    identify_compressed,
    load_model,
    load_tokenizer,
)
from core.models.terms import check_here
from core.request.complete import check_device, default_perplexity, identified_text
from core.request.stages import parse_dtype
from core.specs import Dtype, Perplexity, Stage, VariantSpec
from core.store.slots import compute_lock

LIGHT = 1e12  # floating-point operations with which a comparison does not wait for a run


def compare(
    dense: str,
    other: str,
    texts: Sequence[Perplexity] = (),
    *,
    dtype: str = "float32",
    device: str = "cpu",
    progress: Progress = silent,
) -> list[TextFidelity]:
    """Compare a model with the dense model that it was compressed from, both in one precision.

    Args:
        dense: Catalogue id, folder or hub id of the dense model.
        other: The same of the other model, whose weights may be codes, or the path of a GGUF file.
        texts: Windows to read; by default those of a run.
        dtype: Precision of both models.
        device: Device to compute on.
        progress: Receives the progress, the stage `WAITING` while another process computes, unless this is little work.

    Returns:
        The numbers on each text.

    Raises:
        UserError: A model, a text or an option is invalid, or the models have different tokens.
    """
    check_device(device)
    precision = parse_dtype(dtype)
    sources = identify(dense), identify_compressed(other)
    for source in sources:
        check_here(source)
    pair = _read_pair(*sources, texts, progress)
    with nullcontext() if pair.is_light else compute_lock(partial(progress, WAITING, 0, 1, "")):
        return list(_compare(pair, precision, device, progress))


@dataclass(frozen=True)
class _Pair:
    """The dense model and the other one, with their files, and the windows that both read."""

    dense: ModelSource
    other: ModelSource
    tokenizer: PreTrainedTokenizerBase  # of the dense model
    scored: dict[Perplexity, ScoredText]
    common: int | None  # first tokens of the vocabulary that both heads have; None if they have equally many
    parameters: int  # of both models

    @property
    def is_light(self) -> bool:
        """Whether the comparison takes so little work that it may run beside another run."""
        return 2 * self.parameters * sum(one.windows.numel() for one in self.scored.values()) <= LIGHT


def _read_pair(dense: ModelSource, other: ModelSource, texts: Sequence[Perplexity], progress: Progress) -> _Pair:
    """Fetch two models and read the texts, but load no weights; raise `UserError` if they cannot be compared."""
    dense, other = fetch_model(dense, progress), fetch_compressed(other, progress)
    if other.kind == GGUFKind.name:
        whole = read_json(dense.files / "config.json", dense.id)  # that of a catalogue model has its sizes only
        other = other.model_copy(update={"config": config_like(other.files, other.required_config, whole)})
    shapes = load_shape(dense), load_shape(other)
    first, second = (load_tokenizer(source, progress) for source in (dense, other))
    check_same_vocabulary(
        vocabulary_of(dense.id, first, shapes[0].vocabulary), vocabulary_of(other.id, second, shapes[1].vocabulary)
    )
    read, scored = Texts(), {}
    for asked in texts or [default_perplexity(min(shapes, key=lambda shape: shape.max_window))]:
        for shape in shapes:
            text = identified_text(asked, shape)
        corpus = read.corpus(text.corpus)
        same = token_ids(corpus.text, first).equal(token_ids(corpus.text, second))
        if not same or window_start(first) != window_start(second):
            raise UserError(
                f"The tokenizers of {dense.id} and {other.id} cut {corpus.name} into different tokens; "
                "only models with the same tokens can be compared."
            )
        windows = evaluation_windows(corpus, first, text.window, text.windows, text.spread)
        scored[text] = ScoredText(windows, corpus.identity)
    rows = {shape.vocabulary for shape in shapes}
    parameters = sum(shape.parameters for shape in shapes)
    return _Pair(dense, other, first, scored, min(rows) if len(rows) > 1 else None, parameters)


def _compare(pair: _Pair, dtype: Dtype, device: str, progress: Progress) -> Iterator[TextFidelity]:
    """Yield the numbers on each text.

    The outputs of the dense model are cached, so it is loaded only for new texts, and before the other one.
    """
    reuse_freed_memory()
    place = execution_device(device)
    source = pair.dense
    variant = VariantSpec(model=source.id, revision=source.revision, dtype=dtype, stages=(Stage(method="dense"),))
    outputs = DenseOutputs(variant.key, dtype, partial(load_model, source, dtype, place, progress))
    dense = {
        text: replace(outputs.of(scored.windows, progress, str(text)), common=pair.common)
        for text, scored in pair.scored.items()
    }
    del outputs  # and with it the dense model
    progress("load", 0, 1, pair.other.id)
    model = load_compressed(pair.other, dtype, place, progress)
    progress("load", 1, 1, pair.other.id)
    windows = {text: scored.windows for text, scored in pair.scored.items()}
    for reading in perplexity(model, windows, progress, dense):
        text, scored = reading.text, pair.scored[reading.text]
        of_text = scored.corpus, scored.windows.numel()
        losses = [-loss for loss in dense_losses(dense[text], scored.windows, place)]
        before = TextLosses(text, pd.DataFrame({"doc_id": range(len(losses)), "perplexity": losses}), 0.0)
        (row,) = text_rows(before, *of_text, pair.tokenizer, dtype)
        yield TextFidelity(
            models=(pair.dense.id, pair.other.id),
            text=text,
            dense=row,
            dense_samples=before.samples,
            rows=text_rows(reading, *of_text, pair.tokenizer, dtype),
            samples=reading.samples,
        )
