"""Layer sensitivity of the dense model: the rise of its loss when one part alone is compressed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import mean, stdev

from core.base.progress import Progress
from core.base.window_start import start_protocol
from core.context import Context, StageInput
from core.engine.amounts import target_of
from core.engine.measure import Outcome
from core.engine.scan import measure_sensitivity
from core.engine.session import Session
from core.fields import Details
from core.models.parts.blocks import find_blocks, select
from core.protocols import scan_protocol
from core.request.sensitivity import scan_method
from core.results import SENSITIVITY, Measurement
from core.specs import SensitivityScan, VariantSpec


def sensitivities(
    variant: VariantSpec, wanted: SensitivityScan, session: Session, progress: Progress
) -> Iterator[Outcome]:
    """Measure the sensitivity of each part in nats per token, with the standard error of the paired differences."""
    started = time.perf_counter()
    [stage] = variant.stages
    method = scan_method(variant.stages)
    if method is None:
        raise TypeError(f"{stage.method} has no method to measure layer sensitivity with.")
    model = session.load_model(variant.dtype, progress=progress)
    blocks = find_blocks(model)
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    given = StageInput(stage, session.scanned, variant.prefixes[0].key, decoder=blocks)
    context = Context(session.device, progress)
    rises = measure_sensitivity(
        model, method, target_of(stage, stage.required_ratio), linears, given, context, wanted.by
    )
    details: Details = {"seconds": round(time.perf_counter() - started, 3)}
    rows = [
        Measurement(
            metric=SENSITIVITY,
            dataset=wanted.text.corpus,
            value=mean(rise),
            stderr=stdev(rise) / len(rise) ** 0.5 if len(rise) > 1 else None,
            n=len(rise),
            protocol=scan_protocol(wanted, variant.dtype) | start_protocol(session.tokenizer) | {"part": name},
            details=details,
        )
        for name, rise in rises.items()
    ]
    yield Outcome(rows)
