"""Compressed models, made from their stages or taken from the cache of those made before.

A new measurement on a variant need not compress again: the model lies in the user cache under its key, together with
what was found out while it was made. The cache has a size; what was not used for longest goes first.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from core.cache.checksums import intact
from core.cache.folders import keep
from core.cache.linears import Finished
from core.context import Context, StageInput
from core.data.corpora import calibration_windows
from core.engine.stages import apply
from core.errors import CancelledError, UserError
from core.evaluation.footprint import footprint
from core.models.facts import dense_sizes
from core.models.loading import sentences
from core.models.manifest import load_model_folder, save_model
from core.models.parts.blocks import execution_device, find_blocks
from core.models.parts.reference import load_references, mark_dense, reference_bytes, save_references
from core.models.parts.sizes import counted_sizes, is_language_model
from core.models.sources import identify_again, load_model
from core.paths import cache_dir, cached_variant
from core.progress import Progress
from core.registry import build_method
from core.results import Result, Variant
from core.specs import Stage, VariantSpec
from core.store.bundled import parse_result
from core.training.apply import check_training
from core.training.base import TrainingMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers", "lm_eval")
REPORT = "result.json"


def make_variant(
    spec: VariantSpec,
    tokenizer: Any,  # None of a model that is no language model
    device: str,
    progress: Progress,
    fresh: bool = False,
    on_stage: Callable[[Result], None] = lambda result: None,
) -> tuple[PreTrainedModel, Result]:
    """Return the compressed model, on the CPU, and what is known of it without measuring.

    It, or as many of its first stages as there are, is loaded from the cache where it lies there, unless `fresh`.
    `on_stage` gets what is known of every variant that is made on the way, a stage after the other.
    Raises `UserError` for what cannot be made, and `CancelledError`, with the best so far of a recovery under way.
    """
    prefixes = spec.prefixes
    ready, kept = (0, None) if fresh else _longest_kept(prefixes)
    if kept and ready == len(spec.stages):
        return kept
    source = identify_again(spec.model, spec.revision)
    context = Context(execution_device(device), progress, source, tokenizer)
    # Every text is read before anything is computed, so that one too short or missing is told at once.
    texts = [_windows(stage, spec.dtype, context) for stage in spec.stages]
    result: Result | None
    if kept:
        model, result = kept
        size = result.counted
        dense = size.dense_parameters, size.dense_block_weights or size.block_weights
        sizes = dense_sizes(source)
    else:
        progress("load", 0, 1, source.id)
        model, result = load_model(source, spec.dtype), None
        progress("load", 1, 1, source.id)
        if is_language_model(model):
            mark_dense(find_blocks(model))
        sizes = counted_sizes(model)
        dense = sum(p.numel() for p in model.parameters()), sum(sizes.values())
    for stage, tokens, before, whole in list(zip(spec.stages, texts, prefixes, prefixes[1:], strict=False))[ready:]:
        given = StageInput(stage, tokens, None if fresh else before.key, _checkpoint(whole), sizes)
        result = _made_further(model, whole, given, context, dense, result)
        on_stage(result)
    assert result is not None  # a variant has a stage
    return model, result


def _longest_kept(prefixes: Sequence[VariantSpec]) -> tuple[int, tuple[PreTrainedModel, Result] | None]:
    """Return how many first stages the longest prefix has that lies in the cache, and the variant there."""
    for count in range(len(prefixes) - 1, 0, -1):
        found = _load(prefixes[count])
        # What comes after is made of a training that ran to its end.
        if found and (count == len(prefixes) - 1 or not found[1].variant.cut_short):
            return count, found
    return 0, None


def _made_further(
    model: PreTrainedModel,
    whole: VariantSpec,
    given: StageInput,
    context: Context,
    dense: tuple[int, int],
    before: Result | None,
) -> Result:
    """Apply the last stage of `whole` in place, keep the variant, and return what is known of it and of those before.

    `dense` are the parameters and the weights that a ratio is of, of the uncompressed model.
    """
    started = time.perf_counter()
    done = apply(model, given, context)
    training = done.training
    cancelled = training is not None and training.ended == "cancelled"
    if training and cancelled and not training.best_step:
        raise CancelledError  # nothing was learnt that could be kept
    removed = given.stage.method != "dense"
    if training is None and removed:  # what was trained is kept without asking whether to stop
        context.progress("keep", 0, 1, whole.model)
    details = circumstances(time.perf_counter() - started + done.reused_seconds, str(context.device))
    if training:
        details["training"] = training.as_dict()
    if done.note:
        details["note"] = done.note
    place = len(whole.stages) - 1
    reports = tuple(report.model_copy(update={"stage": place}) for report in done.reports)
    result = Result(
        variant=describe(whole, (*(before.variant.stage_runs if before else ()), details)),
        footprint=footprint(model, *dense),
        layers=(*(before.layers if before else ()), *reports),
    )
    if removed:
        _keep(model, result)
    Finished(given.input_key, given.stage).clear()
    if cancelled:
        raise CancelledError(kept=result)
    if training and cached_variant(whole.key).is_dir():
        _checkpoint(whole).unlink(missing_ok=True)
    return result


def _windows(stage: Stage, dtype: str, context: Context) -> torch.Tensor | None:
    """Return the tokens (N, L) that a stage is calibrated on, if it is; what it is trained on is only checked."""
    method = build_method(stage)
    if method.data_requirement == "calibration":
        return calibration_windows(stage.required_text, context.tokenizer, stage.seed or 0)
    if isinstance(method, TrainingMethod):
        check_training(stage, method, dtype, context)
    return None


def _checkpoint(spec: VariantSpec) -> Path:
    return cache_dir() / "training" / spec.key


def _load(spec: VariantSpec) -> tuple[PreTrainedModel, Result] | None:
    """Return the cached variant; None where there is none, or it is damaged."""
    folder = cached_variant(spec.key)
    try:
        if not intact(folder):
            raise UserError("it does not match its checksums.")
        result = parse_result((folder / REPORT).read_bytes())
        model = load_model_folder(folder, getattr(torch, spec.dtype))
        with sentences("What its weights should come close to could not be loaded"):
            load_references(model, folder)
        os.utime(folder)
    except (OSError, ValueError, UserError) as error:
        if folder.is_dir():
            log.info("The kept variant %s is damaged, so it is made again: %s", spec.key, error)
            shutil.rmtree(folder, ignore_errors=True)
        return None
    return model, result


def _keep(model: PreTrainedModel, result: Result) -> None:
    """Put a variant into the cache, if it has room."""

    def make(place: Path) -> None:
        save_model(model, place)
        save_references(model, place)
        (place / REPORT).write_text(result.model_dump_json())

    size = sum(p.numel() * p.element_size() for p in model.parameters()) + reference_bytes(model)
    keep(cached_variant(result.variant.key), size, make)


def describe(spec: VariantSpec, made: tuple[dict[str, Any], ...] = ()) -> Variant:
    """Return the variant as results show it, with the circumstances of each stage."""
    return Variant(
        key=spec.key, model=spec.model, revision=spec.revision, dtype=spec.dtype, stages=spec.stages, stage_runs=made
    )


def circumstances(seconds: float | None, device: str) -> dict[str, Any]:
    """Return the circumstances of a number: seconds, peak memory of the process in bytes, device, versions, time."""
    if device.startswith("cuda"):
        peak, name = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_name(device)
    else:
        peak, name = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, platform.machine()
    return {
        "seconds": None if seconds is None else round(seconds, 3),
        "peak_memory": peak,
        "device": f"{device} ({name})",
        "threads": torch.get_num_threads(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def check_revision(spec: VariantSpec) -> None:
    """Raise `UserError` where the model on this machine is another than the one that the key names."""
    source = identify_again(spec.model, spec.revision)
    if source.revision != spec.revision:
        raise UserError(
            f"Model {source.id} is now at revision {source.revision}, not {spec.revision}; start the run again."
        )
