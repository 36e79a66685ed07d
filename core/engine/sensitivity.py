"""Layer sensitivity of the dense model: the rise of its loss when one part alone is compressed."""

from __future__ import annotations

import time
from statistics import mean, stdev
from typing import TYPE_CHECKING

from core.context import Context, StageInput
from core.data.corpora import calibration_windows
from core.engine.amounts import target_of
from core.engine.scan import measure_sensitivity
from core.engine.variants import circumstances
from core.models.parts.blocks import execution_device, find_blocks, select
from core.models.sources import identify_again, load_model
from core.protocols import scan_protocol
from core.request.sensitivity import scan_method
from core.results import SENSITIVITY, Measurement
from core.specs import SensitivityScan, VariantSpec
from core.window_start import start_protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from core.progress import Progress


def sensitivities(
    variant: VariantSpec, wanted: SensitivityScan, tokenizer: PreTrainedTokenizerBase, device: str, progress: Progress
) -> list[Measurement]:
    """Measure the sensitivity of each part in nats per token, with the standard error of the paired differences."""
    started = time.perf_counter()
    [stage] = variant.stages
    method = scan_method(variant.stages)
    if method is None:
        raise TypeError(f"{stage.method} has no method to measure layer sensitivity with.")
    windows = calibration_windows(wanted.text, tokenizer, wanted.seed)
    model = load_model(identify_again(variant.model, variant.revision), variant.dtype, progress=progress)
    blocks = find_blocks(model)
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    given = StageInput(stage, windows, variant.prefixes[0].key)
    context = Context(execution_device(device), progress)
    rises = measure_sensitivity(
        model, method, target_of(stage, stage.required_ratio), linears, given, context, wanted.by
    )
    details = circumstances(time.perf_counter() - started, device)
    return [
        Measurement(
            metric=SENSITIVITY,
            dataset=wanted.text.corpus,
            value=mean(rise),
            stderr=stdev(rise) / len(rise) ** 0.5 if len(rise) > 1 else None,
            n=len(rise),
            protocol=scan_protocol(wanted, variant.dtype) | start_protocol(tokenizer) | {"part": name},
            details=details,
        )
        for name, rise in rises.items()
    ]
