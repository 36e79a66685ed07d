"""Computation of a run: create the variant, measure it, and store each number at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.corpora import evaluation_windows, identify_corpus
from core.engine.sensitivity import sensitivities
from core.engine.variants import check_revision, circumstances, make_variant
from core.errors import CancelledError, UserError
from core.evaluation.latency import latency
from core.evaluation.outcomes import summary
from core.evaluation.packed import packed
from core.evaluation.perplexity import perplexity
from core.memory import reuse_freed_memory
from core.models.facts import config_of
from core.models.folders import encoder_of
from core.models.parts.blocks import execution_device, move
from core.models.parts.precision import in_precision
from core.models.sources import identify_again, load_model, load_tokenizer
from core.paths import cache_dir
from core.progress import Progress
from core.protocols import perplexity_protocol
from core.request.complete import check_save_folder
from core.results import Measurement, Result
from core.shipping.export import export
from core.shipping.formats import requested_format
from core.specs import Perplexity, RunSpec
from core.statistics.correlations import error_of
from core.store.store import Store
from core.window_start import start_protocol

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def execute(spec: RunSpec, store: Store, progress: Progress) -> Result:
    """Create the variant, measure everything in `spec`, and return the stored result."""
    if spec.save:
        check_save_folder(Path(spec.save))
        requested_format(spec)[0].check(spec.variant)
    reuse_freed_memory()
    check_revision(spec.variant)
    source = identify_again(spec.variant.model, spec.variant.revision)
    # Any: None for an encoder, which reads no text
    tokenizer: Any = None if encoder_of(config_of(source)) else load_tokenizer(source, progress)
    _check_identity(spec)
    result = store.get(spec.variant.key)
    if result is None or not spec.only_scans:
        model, result = _measured(spec, tokenizer, store, progress)
    if spec.scan:
        _store(store, result, None, *sensitivities(spec.variant, spec.scan, tokenizer, spec.device, progress))
    stored = store.stored(spec.variant.key)
    if spec.save:  # last: the card needs all numbers, and an export in another precision changes the model
        export(model, tokenizer, stored, Path(spec.save), *requested_format(spec), progress)
    return stored


def _measured(
    spec: RunSpec, tokenizer: PreTrainedTokenizerBase, store: Store, progress: Progress
) -> tuple[PreTrainedModel, Result]:
    """Create the variant, measure perplexity, tasks and latency, and return the model and its unmeasured result."""
    # Read all texts first, so that a short or missing one fails before any computation.
    texts = {p: evaluation_windows(p.corpus, tokenizer, p.window, p.windows, p.spread) for p in spec.perplexity}
    model, result = make(spec, tokenizer, store, progress)
    move(model, execution_device(spec.device))
    _perplexities(model, tokenizer, texts, spec.variant.dtype, spec.device, result, store, progress)
    if spec.tasks:
        _tasks(model, tokenizer, spec, result, store, progress)
    if spec.latency:
        with packed(model) as precision:
            if precision:  # packed weights are faster, but may have another perplexity
                _perplexities(model, tokenizer, texts, precision, spec.device, result, store, progress)
            for row in latency(model, precision or spec.variant.dtype, progress):
                details = row.details | circumstances(None, spec.device)
                _store(store, result, None, row.model_copy(update={"details": details}))
    return model, result


def make(
    spec: RunSpec, tokenizer: PreTrainedTokenizerBase | None, store: Store, progress: Progress
) -> tuple[PreTrainedModel, Result]:
    """Create the variant or load it from the cache, store its result, and return the model, on the CPU, and the result.

    Raises:
        UserError: The variant cannot be created.
        CancelledError: The run was cancelled; the best weights of a recovery are cached and their result stored.
    """
    try:
        model, result = make_variant(spec.variant, tokenizer, spec.device, progress, spec.force, store.put)
    except CancelledError as stop:
        if stop.kept:
            store.put(stop.kept)
        raise
    store.put(result)
    return model, result


def _check_identity(spec: RunSpec) -> None:
    """Raise `UserError` if a newly fetched text is not the one that the key names."""
    for stage in spec.variant.stages:
        if stage.calibration and (here := identify_corpus(stage.calibration.corpus).id) != stage.calibration.corpus:
            raise UserError(
                f"The text of {stage.calibration.corpus} on this machine differs from the catalogue's; "
                f"use its id, {here}, instead."
            )


def _perplexities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Mapping[Perplexity, Tensor],
    dtype: str,
    device: str,
    result: Result,
    store: Store,
    progress: Progress,
) -> None:
    for reading in perplexity(model, texts, progress):
        corpus = identify_corpus(reading.text.corpus)
        protocol = perplexity_protocol(reading.text, dtype) | start_protocol(tokenizer) | {"source": corpus.source}
        row = Measurement(
            metric="perplexity",
            dataset=corpus.id,
            protocol=protocol,
            details=circumstances(reading.seconds, device) | {"tokens": texts[reading.text].numel()},
            **summary("perplexity", reading.samples, error_of(corpus.id, protocol, "losses")),
        )
        _store(store, result, reading.samples, row)


def _tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    spec: RunSpec,
    result: Result,
    store: Store,
    progress: Progress,
) -> None:
    from core.evaluation.fewshot.dense import DenseModel
    from core.evaluation.zeroshot import evaluate

    def load() -> PreTrainedModel:
        source = identify_again(spec.variant.model, spec.variant.revision)
        dense = load_model(source, "float32", progress=progress)
        move(dense, execution_device(spec.device))
        return dense

    with in_precision(model, spec.scoring_dtype):
        dense = DenseModel(spec.variant.prefixes[0].key, load, tokenizer)
        for outcome in evaluate(model, tokenizer, spec.tasks, spec.scoring_dtype, progress, cache_dir(), dense):
            rows = [
                row.model_copy(update={"details": circumstances(None, spec.device) | row.details})
                for row in outcome.measurements
            ]
            _store(store, result, outcome.samples, *rows)


def _store(store: Store, result: Result, samples: pd.DataFrame | None, *rows: Measurement) -> None:
    """Store the samples and then their measurements, which need the samples for paired differences."""
    if samples is not None:
        store.put_samples(result.variant.key, rows[0], samples)
    store.put(result.model_copy(update={"measurements": rows}))
