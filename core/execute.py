"""The part of a run that computes: load, compress stage by stage, measure, store each number as it comes."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.compress import compress
from core.data.corpora import calibration_windows, evaluation_windows, identify_corpus
from core.defaults import check_save_folder
from core.errors import UserError
from core.evaluation.footprint import footprint
from core.evaluation.latency import latency
from core.evaluation.perplexity import perplexity
from core.memory import reuse_freed_memory
from core.models.blocks import execution_device, find_blocks
from core.models.sources import identify, load_model, load_tokenizer
from core.paths import cache_dir
from core.progress import Progress
from core.results import LayerReport, Measurement, Result, StageInfo, Variant
from core.runs import perplexity_protocol
from core.specs import RunSpec, VariantSpec
from core.store import Store

PACKAGES = ("torch", "transformers", "lm_eval")


def execute(spec: RunSpec, store: Store, progress: Progress, save: Path | None = None) -> Result:
    """Make the variant, measure all that `spec` asks for, and return the stored result."""
    if save is not None:
        check_save_folder(save)
    reuse_freed_memory()
    device = execution_device(spec.device)
    source = identify(spec.variant.model)
    if source.revision != spec.variant.revision:
        raise UserError(
            f"Model {source.id} is now at revision {source.revision}, not {spec.variant.revision}; start the run again."
        )
    progress("load", 0, 1, source.id)
    tokenizer = load_tokenizer(source)
    # Every text is read before anything is computed, so that one too short or missing is told at once.
    calibrations = [
        calibration_windows(stage.calibration, tokenizer, stage.seed) if stage.calibration else None
        for stage in spec.variant.stages
    ]
    _check_identity(spec)
    texts = [evaluation_windows(p.corpus, tokenizer, p.window, p.windows) for p in spec.perplexity]
    model = load_model(source, spec.variant.dtype)
    progress("load", 1, 1, source.id)

    started = time.perf_counter()
    dense_parameters = sum(p.numel() for p in model.parameters())
    dense_block_weights = sum(linear.weight.numel() for linear in find_blocks(model).all_linears())
    layers: list[LayerReport] = []
    for stage, windows in zip(spec.variant.stages, calibrations, strict=True):
        layers = compress(model, stage, windows, spec.device, progress) or layers
    result = Result(
        variant=describe(spec.variant, _details(time.perf_counter() - started, spec.device)),
        footprint=footprint(model, dense_parameters, dense_block_weights),
        layers=tuple(layers),
    )
    store.put(result)
    if save is not None:
        _save(model, tokenizer, save)
    model.to(device)
    for wanted, windows in zip(spec.perplexity, texts, strict=True):
        started = time.perf_counter()
        value, stderr = perplexity(model, windows, progress, str(wanted))
        corpus = identify_corpus(wanted.corpus)
        _keep(
            store,
            result,
            Measurement(
                metric="perplexity",
                dataset=corpus.id,
                value=value,
                stderr=None if stderr != stderr else stderr,
                n=len(windows),
                protocol=perplexity_protocol(wanted, spec.variant.dtype) | {"source": corpus.source},
                details=_details(time.perf_counter() - started, spec.device) | {"tokens": windows.numel()},
            ),
        )
    if spec.tasks:
        _tasks(model, tokenizer, spec, result, store, progress)
    if spec.latency:
        for row in latency(model, spec.variant.dtype, progress):
            _keep(store, result, row.model_copy(update={"details": row.details | _details(None, spec.device)}))
    return store.get(result.variant.key)


def _check_identity(spec: RunSpec) -> None:
    """Raise `UserError` where a text that was only now fetched is another than the one that the key names."""
    for stage in spec.variant.stages:
        if stage.calibration and (here := identify_corpus(stage.calibration.corpus).id) != stage.calibration.corpus:
            raise UserError(
                f"The text of {stage.calibration.corpus} on this machine is another than the catalogue's; "
                f"calibrate on {here}, which names it."
            )


def _tasks(model: nn.Module, tokenizer: Any, spec: RunSpec, result: Result, store: Store, progress: Progress) -> None:
    from core.evaluation.zeroshot import evaluate

    requests = cache_dir() / "requests"
    for outcome in evaluate(model, tokenizer, spec.tasks, spec.variant.dtype, progress, requests):
        rows = [
            row.model_copy(update={"details": _details(None, spec.device) | row.details})
            for row in outcome.measurements
        ]
        _keep(store, result, *rows)
        store.put_samples(result.variant.key, rows[0], outcome.samples)


def _keep(store: Store, result: Result, *rows: Measurement) -> None:
    store.put(result.model_copy(update={"measurements": rows}))


def describe(spec: VariantSpec, details: dict[str, Any]) -> Variant:
    """Return the variant as results show it: every parameter spelt out, those at their default included."""
    from core.methods.registry import get_method

    first = spec.stages[0]
    return Variant(
        key=spec.key,
        model=spec.model,
        revision=spec.revision,
        dtype=spec.dtype,
        method=first.method,
        ratio=first.ratio,
        ratio_kind=first.ratio_kind,
        pattern=first.pattern,
        stages=tuple(
            StageInfo(
                name=stage.method,
                parameters=get_method(stage.method).Parameters.model_validate(stage.parameters).model_dump(),
            )
            for stage in spec.stages
        ),
        calibration=str(first.calibration) if first.calibration else None,
        seed=first.seed,
        layers=first.layers,
        details=details,
    )


def _details(seconds: float | None, device: str) -> dict[str, Any]:
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


def _save(model: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write the model, zeros included, and its tokenizer as a Hugging Face folder of safetensors."""
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except OSError as error:
        raise UserError(f"The model could not be saved in {folder}: {error.strerror or error}.") from None
