"""Made-up results of a made-up model, shaped like measured ones."""

import numpy as np
import pandas as pd

from core.evaluation.outcomes import summary
from core.metrics import FIDELITY
from core.models.catalogue import BY_ID
from core.notation.chain import ChainDefaults, parse
from core.registry import data_requirement
from core.request.resolve import resolve_chain
from core.results import Footprint, LayerReport, Measurement, Result, Variant
from core.specs import Stage, TextWindows, VariantSpec
from core.statistics.correlations import INTERVAL, WIDENED
from core.store.store import Store

BLOCK_WEIGHTS, PARAMETERS = 106_000_000, 134_500_000
TASKS = {
    "boolq": ("acc", 0.60),
    "piqa": ("acc", 0.68),
    "hellaswag": ("acc_norm", 0.43),
    "winogrande": ("acc", 0.53),
    "arc_easy": ("acc", 0.55),
    "arc_challenge": ("acc_norm", 0.29),
    "openbookqa": ("acc_norm", 0.33),
}
TRAINING = {
    "steps": 40,
    "tokens": 163840,
    "seconds": 300.0,
    "ended": "no improvement",
    "best_step": 32,
    "losses": [[step, 4.2 - step / 80] for step in range(4, 44, 4)],
    "held_out": [[step, 4.3 - step / 100 + (0.2 if step > 32 else 0)] for step in range(0, 44, 4)],
}


def perplexity(value: float, corpus: str = "passages-eval", window: int = 2048) -> Measurement:
    protocol = {"window": window, "windows": 16, "source": "a test", "dtype": "float32"}
    return Measurement(metric="perplexity", dataset=corpus, value=value, stderr=value * 0.02, n=16, protocol=protocol)


def accuracies(loss: float) -> list[Measurement]:
    """Seven tasks, with accuracies that fall with `loss` in [0, 1]."""
    protocol = {"limit": 100, "fewshot": 0, "version": 1, "source": "a test", "dtype": "float32"}
    return [
        Measurement(metric=metric, dataset=task, value=best - 0.3 * loss * best, stderr=0.04, n=100, protocol=protocol)
        for task, (metric, best) in TASKS.items()
    ]


def result(
    method: str,
    value: float,
    ratio: float | None = None,
    pattern: str | None = None,
    seed: int | None = None,
    recovery: str | None = None,
    **more,
) -> Result:
    """Return a result of `method` with that perplexity, with `recovery` as its second stage if there is one."""
    amount = pattern or (None if ratio is None else f"{ratio:g}")
    first = [] if method == "dense" and recovery else [f"{method}@{amount}" if amount else method]
    return chained("+".join([*first, *([recovery] if recovery else [])]), value, seed=seed or 0, **more)


def chained(
    chain: str,
    value: float,
    seed: int = 0,
    model: str = "smollm2-135m",
    corpus: str = "passages-eval",
    calibration: str = "passages-calibration:16x2048",
    training: str = "passages-calibration:512x256",
    scored: bool = True,
    **more,
) -> Result:
    """Return a result of a written chain with that perplexity.

    It has accuracies where it is `scored` and its ratio is one of those that have them.
    """
    defaults = ChainDefaults(TextWindows.parse(calibration), TextWindows.parse(training), seed)
    stages = resolve_chain(parse(chain), defaults)
    trains = [data_requirement(stage) == "training" for stage in stages]
    card = BY_ID.get(model)
    revision = card.file.requirement if card and card.packed else "1"  # as runs and imports have it
    variant = Variant(
        key=VariantSpec(model=model, revision=revision, stages=stages).key,
        model=model,
        revision=revision,
        dtype="float32",
        stages=stages,
        stage_runs=tuple(
            {"seconds": 60.0, "device": "cpu", "peak_memory": 2e9} | ({"training": TRAINING} if trained else {})
            for trained in trains
        ),
    )
    ratio = variant.ratio
    zeros = round((ratio or 0) * BLOCK_WEIGHTS)
    footprint = Footprint(
        block_weights=BLOCK_WEIGHTS,
        block_zeros=zeros,
        model_parameters=PARAMETERS,
        model_zeros=zeros,
        dense_parameters=PARAMETERS,
        dense_bytes=2 * PARAMETERS,
        packed_bytes=2 * PARAMETERS - 2 * zeros + (BLOCK_WEIGHTS // 8 if zeros else 0),
        bits_per_weight=16 - 16 * (ratio or 0) + (1 if zeros else 0),
    )
    layers: list[LayerReport] = []
    for place, (stage, trained) in enumerate(zip(stages, trains, strict=True)):
        if stage.method != "dense" and not trained:
            layers += _reports(stage, place, layers[-1].sparsity if layers else 0.0)
    numbers = [perplexity(value, corpus)]
    if scored and ratio in (None, 0.3, 0.5, 0.7):
        numbers += accuracies(0 if ratio is None else ratio)
    return Result(variant=variant, footprint=footprint, measurements=tuple(numbers), layers=tuple(layers), **more)


def _reports(stage: Stage, place: int, before: float) -> list[LayerReport]:
    return [
        LayerReport(
            name=f"model.layers.{block}.{role}",
            block=block,
            role=role,
            shape=(576, 576),
            sparsity=before if stage.ratio is None else stage.ratio,
            error=0.02 * (block + 1) / (place + 1),
            error_kind="output" if stage.calibration else "weight",
            stage=place,
        )
        for block in range(4)
        for role in ("q", "k", "v", "o", "gate", "up", "down")
    ]


def compared(one: Result, kl: float, kl_p99: float, agreement: float) -> Result:
    """Return a result with the fidelity on its text, with standard errors of a twentieth of the mean."""
    row = next(row for row in one.measurements if row.of_text)
    values = dict(zip(FIDELITY, (kl, kl_p99, agreement), strict=True))
    same = {"details": {INTERVAL: WIDENED}}  # as stored, so that reading does not widen it again
    more = [
        row.model_copy(update=same | {"metric": metric, "value": value, "stderr": error})
        for metric, value in values.items()
        for error in [None if metric == "kl_p99" else value / 20]
    ]
    return one.model_copy(update={"measurements": (*one.measurements, *more)})


def curve(**more) -> list[Result]:
    """Dense, and three methods at several ratios and patterns; magnitude diverges at 70 %; two seeds of one Wanda."""
    results = [result("dense", 20.1, **more)]
    ratios = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    values = {
        "magnitude": (21, 24, 35, 90, 420, 5200, 3.4e5),
        "wanda": (20.4, 21.2, 23.5, 28.0, 44.0, 120, 900),
        "sparsegpt": (20.3, 20.9, 22.8, 26.5, 37.0, 75, 260),
    }
    for method, numbers in values.items():
        results += [result(method, value, ratio, **more) for ratio, value in zip(ratios, numbers, strict=True)]
        results += [
            result(method, numbers[4] * 3, 0.5, "2:4", **more),
            result(method, numbers[4] * 1.6, 0.5, "4:8", **more),
        ]
    return results


def answered(one: Result, seed: int) -> tuple[Result, dict[tuple[str, str, str], pd.DataFrame]]:
    """Return a result whose numbers are of made-up outcomes near them, and these by the numbers' identities.

    Variants find the same documents hard, and `seed` draws what is their own.
    """
    numbers, kept = [], {}
    for number in one.measurements:
        shared = np.random.default_rng(list(number.dataset.encode()))
        own = np.random.default_rng(seed)
        samples = pd.DataFrame({"doc_id": range(number.n)})
        if number.metric == "perplexity":
            harder = shared.normal(0, 0.1, number.n) + own.normal(0, 0.002, number.n)
            samples["perplexity"] = -np.log(number.value) - harder
        else:
            samples["target"] = shared.integers(0, 2, number.n)
            samples["loglikelihoods"] = [[-1.0, -2.0]] * number.n
            right = shared.uniform(size=number.n) + own.normal(0, 0.02, number.n) < number.value
            samples[number.metric] = right.astype(float)
        made = number.model_copy(update=summary(number.metric, samples))
        numbers.append(made)
        kept[made.identity] = samples
    return one.model_copy(update={"measurements": tuple(numbers)}), kept


def put_answered(store: Store, one: Result, seed: int) -> Result:
    """Store `answered` with its outcomes; return the result."""
    made, kept = answered(one, seed)
    for number in made.measurements:
        store.put_samples(made.variant.key, number, kept[number.identity])
    store.put(made)
    return made
