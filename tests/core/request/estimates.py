"""Estimates from results by hand: the engine's are from those of a store, of which it reads again what has changed."""

from collections.abc import Sequence

from core.request.expected import estimate as engine
from core.request.expected import speeds
from core.results import Result
from core.specs import RunSpec


def estimate(spec: RunSpec, results: Sequence[Result] = ()) -> engine.Estimate:
    """Return what `spec` takes where these results were measured on this machine."""

    def done(mine: bool):
        rows = [one for one in results if (one.variant.model == spec.variant.model) is mine]
        shapes = [(one, speeds.shape_of(one.variant.model, one.variant.revision)) for one in rows]
        return speeds.sums(row for one, shape in shapes if shape for row in speeds.work_samples(one, shape))

    return engine.estimate(spec, speeds.Speeds(done(True), lambda: done(False)))
