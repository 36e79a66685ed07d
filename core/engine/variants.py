"""Creation of variants from their stages, and the cache of variants.

A new measurement needs no new compression: the user cache stores each model under its key, with the result of its
compression. The cache has a size limit and deletes the least recently used variants first.
"""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from core.base.errors import CancelledError, StorageError, UserError
from core.base.paths import cache_dir, cached_variant
from core.base.progress import Progress
from core.cache.disk import NAME, intact
from core.cache.folders import keep
from core.cache.storage import VARIANTS, shared_storage
from core.context import Context, StageInput
from core.data.windows import calibration_windows
from core.engine.circumstances import Watch, circumstances
from core.engine.session import Session
from core.engine.stages import apply, reinstall_hooks
from core.evaluation.footprint import footprint
from core.fields import Details
from core.models.facts import dense_sizes
from core.models.loading import copy_to_memory, sentences
from core.models.manifest import load_model_folder, save_model
from core.models.parts.blocks import find_blocks
from core.models.parts.finished import FinishedBlocks
from core.models.parts.reference import load_references, mark_dense, reference_bytes, save_references
from core.models.parts.sizes import linear_sizes
from core.models.shape import MOST_UNCOVERED
from core.registry import build_method
from core.results import Result, Variant
from core.specs import Stage, VariantSpec
from core.store.bundled import parse_result
from core.training.base import TrainingMethod

log = logging.getLogger(__name__)

REPORT = "result.json"


def make_variant(
    spec: VariantSpec,
    session: Session,
    progress: Progress,
    fresh: bool = False,
    on_stage: Callable[[Result], None] = lambda result: None,
) -> tuple[PreTrainedModel, Result]:
    """Create a variant from the longest chain of its first stages in the cache; a `fresh` one uses no cache.

    `on_stage` receives the result of each new variant, one per stage. Returns the compressed model, on the CPU, and its
    result without measurements.

    Raises `UserError` if the variant cannot be created. A `CancelledError` contains the best result of an unfinished
    recovery.
    """
    prefixes = spec.prefixes
    mapped = session.shelf is not None
    ready, cached = (0, None) if fresh else _longest_cached(prefixes, mapped)
    if cached and ready == len(spec.stages):
        return cached
    context = Context(session.device, progress, session.source, session.tokenizer, session.shelf, session.memory)
    # Read all texts first, so that a short or missing one fails before any computation.
    inputs = [_read(stage, spec.dtype, session, context) for stage in spec.stages]
    result: Result | None
    if cached:
        model, result = cached
        size = result.counted
        counted = size.dense_block_weights or size.block_weights
        dense = size.dense_parameters, counted, size.dense_uncovered_weights or 0
        sizes = dense_sizes(session.source)
    else:
        progress("load", 0, 1, spec.model)
        model, result = session.load_model(spec.dtype, mapped=mapped), None
        progress("load", 1, 1, spec.model)
        mark_dense(find_blocks(model))
        sizes, uncovered = linear_sizes(model), sum(find_blocks(model).uncovered.values())
        dense = sum(p.numel() for p in model.parameters()), sum(sizes.values()), uncovered
    for given, before, whole in list(zip(inputs, prefixes, prefixes[1:], strict=False))[ready:]:
        known = None if fresh else before.key
        finished = FinishedBlocks(whole.key) if known else None
        given = replace(given, input_key=known, checkpoint=_checkpoint(whole), dense_sizes=sizes, finished=finished)
        result = _apply_stage(model, whole, given, context, dense, result)
        on_stage(result)
    assert result is not None  # a variant has a stage
    return model, result


def _longest_cached(prefixes: Sequence[VariantSpec], mapped: bool) -> tuple[int, tuple[PreTrainedModel, Result] | None]:
    """Return the number of stages of the longest cached prefix, and the variant after them, as of `load_cached`."""
    for count in range(len(prefixes) - 1, 0, -1):
        cached = load_cached(prefixes[count], mapped=mapped)
        # Later stages need a finished training.
        if cached and (count == len(prefixes) - 1 or not cached[1].variant.cut_short):
            return count, cached
    return 0, None


def _apply_stage(
    model: PreTrainedModel,
    whole: VariantSpec,
    given: StageInput,
    context: Context,
    dense: tuple[int, int, int],
    before: Result | None,
) -> Result:
    """Apply the last stage of `whole` in place, cache the variant, and return its result with all stages.

    `dense` is the dense model's number of parameters, of weights that a stage can change, and of other block weights.
    """
    watch = Watch()
    done = apply(model, given, context)
    training = done.training
    cancelled = training is not None and training.ended == "cancelled"
    if training and cancelled and not training.best_step:
        raise CancelledError  # there are no trained weights to cache
    changed = given.stage.method != "dense"
    if training is None and changed:  # progress may cancel, which must not lose trained weights
        context.progress("keep", 0, 1, whole.model)
    details = circumstances(None, str(context.device)) | watch.read()
    if given.finished and given.finished.reused_seconds:  # nobody knows how busy the machine was then
        details["seconds"] = round(details["seconds"] + given.finished.reused_seconds, 3)
        del details["other_load"]
    if training:
        details["training"] = training.as_dict()
    details |= _uncovered(model) if changed else {}
    if done.note:
        details["note"] = "; ".join(filter(None, (done.note, details.get("note"))))
    place = len(whole.stages) - 1
    reports = tuple(report.model_copy(update={"stage": place}) for report in done.reports)
    result = Result(
        variant=describe(whole, (*(before.variant.stage_runs if before else ()), details)),
        footprint=footprint(model, *dense),
        layers=(*(before.layers if before else ()), *reports),
    )
    if changed:
        _cache(model, result, context.shelf is not None, given.finished)
    if given.finished:
        given.finished.check()  # before any number is measured
        given.finished.clear()
    if cancelled:
        raise CancelledError(kept=result)
    if training and cached_variant(whole.key).is_dir():
        _checkpoint(whole).unlink(missing_ok=True)
    return result


def _uncovered(model: PreTrainedModel) -> Details:
    """Return the share of the block weights that are in no linear, with a note if it is large; empty if it is 0."""
    share = find_blocks(model).uncovered_share
    if not share:
        return {}
    note = {"note": f"{100 * share:.0f} % of the block weights are in no linear and stay dense"}
    return {"uncovered": round(share, 4)} | (note if share > MOST_UNCOVERED else {})


def _read(stage: Stage, dtype: str, session: Session, context: Context) -> StageInput:
    """Read the data of a stage; a `UserError` if they do not suffice."""
    method = build_method(stage)
    if method.data_requirement == "calibration":
        data = session.texts.data(stage.required_text)
        return StageInput(stage, calibration_windows(data, context.tokenizer, stage.seed or 0))
    if isinstance(method, TrainingMethod):
        from core.training.apply import check_training  # only here, as PEFT takes seconds to import

        data = session.texts.data(stage.required_text)
        check_training(data, method, dtype, context)
        return StageInput(stage, training_data=data)
    return StageInput(stage)


def _checkpoint(spec: VariantSpec) -> Path:
    return cache_dir() / "training" / spec.key


def load_cached(
    spec: VariantSpec, references: bool = True, mapped: bool = False
) -> tuple[PreTrainedModel, Result] | None:
    """Load a variant from the cache; None if it is missing or damaged.

    `references` are the dense weights that later stages need; they take as much memory again. The weights of a `mapped`
    model take no memory of the process.
    """
    folder = cached_variant(spec.key)
    try:
        if not folder.is_dir():
            _fetch(spec.key)
        if not intact(folder):
            raise UserError("it does not match its checksums.")
        result = parse_result((folder / REPORT).read_bytes())
        model = load_model_folder(folder, getattr(torch, spec.dtype), mapped)
        if not mapped:
            copy_to_memory(model)
        if references:
            with sentences("The references of its weights could not be loaded"):
                load_references(model, folder)
        reinstall_hooks(model, spec.stages)
        os.utime(folder)
    except (OSError, ValueError, UserError) as error:
        if folder.is_dir():
            log.info("The cached variant %s is damaged and will be created again: %s", spec.key, error)
            shutil.rmtree(folder, ignore_errors=True)
        return None
    return model, result


def _cache(model: PreTrainedModel, result: Result, mapped: bool, finished: FinishedBlocks | None) -> None:
    """Store a variant in the cache, if there is room; a `mapped` one so that it can be mapped again.

    Raises `UserError` if `finished` blocks have changed, from which the model is mapped.
    """

    def write(folder: Path) -> None:
        save_model(model, folder, separate=mapped)
        save_references(model, folder)
        (folder / REPORT).write_text(result.model_dump_json())
        if finished:
            finished.check()

    size = sum(p.numel() * p.element_size() for p in model.parameters()) + reference_bytes(model)
    folder = cached_variant(result.variant.key)
    keep(folder, size, write, alone=True)
    storage = shared_storage()
    if storage is not None and folder.is_dir():
        try:
            storage.send_folder(folder, f"{VARIANTS}/{folder.name}")
        except StorageError as error:  # other machines create the variant again
            log.warning("%s", error)


def _fetch(key: str) -> None:
    """Copy a variant from the shared storage into the cache, if the storage has it and the cache has room."""
    storage, folder = shared_storage(), cached_variant(key)
    if storage is None or NAME not in storage.names(f"{VARIANTS}/{key}"):
        return

    def copy(content: Path) -> None:
        storage.fetch_folder(f"{VARIANTS}/{key}", content)
        if not intact(content):
            raise UserError("it does not match its checksums in the shared storage.")

    keep(folder, storage.size(f"{VARIANTS}/{key}"), copy, alone=True)


def describe(spec: VariantSpec, made: tuple[Details, ...] = ()) -> Variant:
    """Describe a variant for its results; `made` contains the circumstances of each stage."""
    return Variant(
        key=spec.key, model=spec.model, revision=spec.revision, dtype=spec.dtype, stages=spec.stages, stage_runs=made
    )
