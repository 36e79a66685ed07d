"""Compressed models, made from their stages or taken from the cache of those made before.

A new measurement on a variant need not compress again: the model lies in the user cache under its key, together with
what was found out while it was made. The cache has a size; what was not used for longest goes first.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from core.compress import compress
from core.data.corpora import calibration_windows
from core.errors import UserError
from core.evaluation.footprint import footprint
from core.kept import keep
from core.models.blocks import find_blocks
from core.models.manifest import load_model_folder, save_model
from core.models.sources import identify, load_model
from core.paths import cache_dir
from core.progress import Progress
from core.results import LayerReport, Result, StageInfo, Variant
from core.specs import VariantSpec

PACKAGES = ("torch", "transformers", "lm_eval")
REPORT = "result.json"


def make_variant(
    spec: VariantSpec, tokenizer: Any, device: str, progress: Progress, fresh: bool = False
) -> tuple[nn.Module, Result]:
    """Return the compressed model, on the CPU, and what is known of it without measuring.

    It is loaded from the cache where it lies there, unless `fresh`. Raises `UserError` for what cannot be made.
    """
    folder = cache_dir() / "variants" / spec.key
    if not fresh and (found := _load(folder, spec)):
        return found
    source = identify(spec.model)
    # Every text is read before anything is computed, so that one too short or missing is told at once.
    calibrations = [
        calibration_windows(stage.calibration, tokenizer, stage.seed or 0) if stage.calibration else None
        for stage in spec.stages
    ]
    progress("load", 0, 1, source.id)
    model = load_model(source, spec.dtype)
    progress("load", 1, 1, source.id)
    started = time.perf_counter()
    dense_parameters = sum(p.numel() for p in model.parameters())
    dense_block_weights = sum(linear.weight.numel() for linear in find_blocks(model).all_linears())
    layers: list[LayerReport] = []
    for index, (stage, windows) in enumerate(zip(spec.stages, calibrations, strict=True)):
        before = None if fresh else spec.model_copy(update={"stages": spec.stages[:index]}).key
        layers = compress(model, stage, windows, device, progress, before) or layers
    result = Result(
        variant=describe(spec, circumstances(time.perf_counter() - started, device)),
        footprint=footprint(model, dense_parameters, dense_block_weights),
        layers=tuple(layers),
    )
    if any(stage.method != "dense" for stage in spec.stages):
        _keep(folder, model, result)
    return model, result


def _load(folder: Path, spec: VariantSpec) -> tuple[nn.Module, Result] | None:
    """Return the cached variant; None where there is none, or it cannot be read."""
    try:
        result = Result.model_validate_json((folder / REPORT).read_text())
        model = load_model_folder(folder, getattr(torch, spec.dtype))
        os.utime(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return model, result


def _keep(folder: Path, model: nn.Module, result: Result) -> None:
    """Put a variant into the cache, if it has room."""

    def make(place: Path) -> None:
        save_model(model, place)
        (place / REPORT).write_text(result.model_dump_json())

    keep(folder, sum(p.numel() * p.element_size() for p in model.parameters()), make)


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
    source = identify(spec.model)
    if source.revision != spec.revision:
        raise UserError(
            f"Model {source.id} is now at revision {source.revision}, not {spec.revision}; start the run again."
        )
