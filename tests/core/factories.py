"""Results made for tests, with no model behind them."""

from core.results import Footprint, LayerReport, Measurement, Result, Variant
from core.specs import Stage

KEY, OTHER = "a" * 64, "b" * 64


def perplexity(value, dataset="wikitext2", window=2048, windows=16, **more):
    protocol = {"window": window, "windows": windows, "dtype": "float32", "source": "folder"}
    return Measurement(metric="perplexity", dataset=dataset, value=value, n=windows, protocol=protocol, **more)


WANDA = Stage(method="wanda", ratio=0.5)


def make(*measurements, key=KEY, layers=(), zeros=50, stages=(WANDA,), made=(), dtype="float32", model="m"):
    variant = Variant(key=key, model=model, revision="r", dtype=dtype, stages=stages, stage_runs=made)
    footprint = Footprint(
        block_weights=100,
        block_zeros=zeros,
        model_parameters=200,
        model_zeros=zeros,
        dense_parameters=200,
        dense_bytes=400,
        packed_bytes=300,
        bits_per_weight=9.0,
    )
    return Result(variant=variant, footprint=footprint, measurements=measurements, layers=layers)


def trained(**more):
    """The circumstances of a stage that trained."""
    plain = {
        "steps": 4,
        "tokens": 1024,
        "seconds": 1.0,
        "ended": "budget",
        "best_step": 4,
        "losses": [],
        "held_out": [],
    }
    return {"training": plain | more}


LAYER = LayerReport(name="model.layers.0.q_proj", block=0, role="q", shape=(4, 4), sparsity=0.5, error=0.1)
