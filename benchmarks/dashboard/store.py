"""An artificial store of many variants, for measurements of the pages."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice, product
from pathlib import Path

from sqlalchemy import insert

from core.amount import Bits, Factor
from core.data.cards import SEVEN, TASKS
from core.findings.rows.missing import highest_offered
from core.notation.chain import ChainDefaults, parse
from core.registry import METHODS
from core.request.resolve import resolve_chain
from core.results import Footprint, LayerReport, Measurement, Result, Variant
from core.specs import TextWindows, VariantSpec
from core.store.rows import written
from core.store.store import Store
from core.store.tables import measurements, variants

MODELS = ("smollm2-135m", "opt-125m", "opt-350m", "smollm2-360m")
RATIOS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")
FOLLOWED = ("", "+lora", "+distill-white", "+lora,rank=4")  # recoveries
CALIBRATIONS = ("c4-sample:16x2048", "c4-sample:128x2048", "passages-calibration:16x2048")
TRAINING = "c4-sample:2048x256"
TEXTS = (("wikitext2", 2048, 16), ("ptb-valid", 128, 128), ("wikitext2", 128, 128), ("passages-eval", 2048, 16))
LIMITS = (100, 500)
BLOCKS, ROLES = 30, ("q", "k", "v", "o", "gate", "up", "down")
AT_ONCE = 500  # variants per insert


def chains() -> list[str]:
    """Return the chains of variants: every method at each of its amounts, with and without recoveries."""
    found = []
    for method in (method for method in METHODS if method.takes_amount):
        amounts = [str(amount) for amount in (*map(Bits, method.bit_choices), *map(Factor, method.factor_choices))]
        amounts = amounts or [ratio for ratio in RATIOS if float(ratio) <= highest_offered(method)]
        amounts += ["2:4", "4:8"] if method.supports_nm else []
        found += [f"{method.name}@{amount}{then}" for amount, then in product(amounts, FOLLOWED)]
    return found


def made_up(count: int) -> Iterator[Result]:
    """Yield `count` results, equally many of each model, its dense one first."""
    drawn = random.Random(0)
    for model in MODELS:
        every = list(product(chains(), CALIBRATIONS, range(4)))
        drawn.shuffle(every)
        yield made_up_result(model, "dense", CALIBRATIONS[0], 0)
        yield from islice(unique(made_up_result(model, *one) for one in every), count // len(MODELS) - 1)


def unique(results: Iterable[Result]) -> Iterator[Result]:
    """Yield the first result of each key."""
    known = set()
    for one in results:
        if one.variant.key not in known:
            known.add(one.variant.key)
            yield one


def made_up_result(model: str, chain: str, calibration: str, seed: int) -> Result:
    """Return a result with 20 numbers and a report of each linear."""
    defaults = ChainDefaults(TextWindows.parse(calibration), TextWindows.parse(TRAINING), seed)
    stages = resolve_chain(parse(chain), defaults)
    variant = Variant(
        key=VariantSpec(model=model, revision="1", stages=stages).key,
        model=model,
        revision="1",
        dtype="float32",
        stages=stages,
        stage_runs=tuple({"seconds": 60.0, "device": "cpu", "created": "2026-01-01T00:00:00+00:00"} for _ in stages),
    )
    ratio, drawn = variant.ratio or 0.0, random.Random(variant.key)
    zeros = round(ratio * 106e6)
    footprint = Footprint(
        block_weights=106_000_000,
        block_zeros=zeros,
        model_parameters=134_500_000,
        model_zeros=zeros,
        dense_parameters=134_500_000,
        dense_bytes=269_000_000,
        packed_bytes=269_000_000 - 2 * zeros,
        bits_per_weight=16 - 16 * ratio,
    )
    layers = tuple(
        LayerReport(
            name=f"model.layers.{block}.{role}",
            block=block,
            role=role,
            shape=(576, 576),
            sparsity=ratio,
            error=drawn.random(),
            stage=0,
        )
        for block, role in product(range(BLOCKS if stages[0].method != "dense" else 0), ROLES)
    )
    return Result(variant=variant, footprint=footprint, measurements=tuple(numbers(ratio, drawn)), layers=layers)


def numbers(ratio: float, drawn: random.Random) -> Iterator[Measurement]:
    """Yield 20 numbers: perplexities, the seven tasks at two limits, latencies."""
    details = {"seconds": 30.0, "tokens": 32768, "device": "cpu", "created": "2026-01-02T00:00:00+00:00"}
    for corpus, window, windows in TEXTS:
        value = 20 / (1.05 - ratio) ** 2 * (1 + drawn.random() / 10)
        protocol = {"window": window, "windows": windows, "source": "folder", "dtype": "float32"}
        yield Measurement(
            metric="perplexity", dataset=corpus, value=value, stderr=value / 50, n=windows, protocol=protocol
        ).model_copy(update={"details": details})
    for task, limit in product(SEVEN, LIMITS):
        protocol = {"limit": limit, "fewshot": 0, "version": 1, "source": "folder", "dtype": "float32"}
        value = TASKS[task].chance + 0.3 * (1 - ratio) * drawn.random()
        yield Measurement(
            metric=TASKS[task].metric, dataset=task, value=value, stderr=0.04, n=limit, protocol=protocol
        ).model_copy(update={"details": details})
    for metric in ("prefill", "decode"):
        protocol = {"batch": 1, "prompt": 512, "dtype": "float32"}
        yield Measurement(metric=metric, dataset="latency", value=5.0 - ratio, n=8, protocol=protocol)


def fill(folder: Path, count: int) -> None:
    """Write the artificial store into a results folder."""
    store, results = Store(f"sqlite:///{folder / 'local.db'}"), enumerate(made_up(count), start=1)
    while part := [(written(result), place) for place, result in islice(results, AT_ONCE)]:
        with store.begin() as connection:
            connection.execute(insert(variants), [row | {"changed": place} for (row, _), place in part])
            connection.execute(insert(measurements), [number for (_, rows), _ in part for number in rows])
