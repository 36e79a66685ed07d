"""The numbers of the pages of results, one row per point of the bundled results, and their formats."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import pandas as pd

from core.amount import Ratio
from core.cli.printing.tables import column
from core.data.cards import SEVEN, TASKS
from core.findings.numbers.differences import Samples
from core.findings.numbers.reporting import UNADJUSTED
from core.findings.numbers.seven import (
    ABOVE_CHANCE,
    MEAN,
    accuracies_of,
    by_protocol,
    counted_tasks,
    counted_words,
    mean,
    mean_above_chance,
    sevens,
)
from core.findings.seeds import Seeds
from core.notation import formatting
from core.registry import METHODS
from core.results import Result, Variant
from core.specs import Scalar, Stage
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from core.training.base import TrainPruneMethod

MODEL = "smollm2-135m"
LONG = "perplexity wikitext2@2048:16"
SECOND = "gemma3-270m"
CALIBRATED = "c4-sample"  # corpus of the calibration data
TEXTS = {MODEL: LONG, SECOND: "perplexity wikitext2@2048:8"}  # each model's perplexity in the tables
STEPS, HELD_OUT = "steps", "held-out loss"
# Columns of paired differences with intervals.
BESIDE_DENSE, RATIOS, MEANS = (
    f"{column} [{UNADJUSTED}]" for column in ("against dense", "perplexity", f"{ABOVE_CHANCE}, points")
)
DENSE = ("dense", "", "nothing")
HOW = ",batch=4,dropout=0,learning_rate=0.002,patience=0,steps=92"  # parameters of the pages' trainings
TRAINED_METHODS = {  # method that prunes during training -> its one-shot form
    method.name: method.name.removesuffix("-trained") for method in METHODS if issubclass(method, TrainPruneMethod)
}

Point = tuple[str, str, str]  # method, recovery, amount


class Bundle(NamedTuple):
    """Results with their outcomes, as `core.findings.finding.KeyedStore`."""

    read: Callable[[], Sequence[Result]]
    samples: Samples

    def each(self, model: str | None = None) -> Iterator[Result]:
        return (one for one in self.read() if model in (None, one.variant.model))

    def get_many(self, keys: Collection[str]) -> dict[str, Result]:
        return {one.variant.key: one for one in self.read() if one.variant.key in keys}


def shipped() -> list[Result]:
    """Return the bundled results."""
    return list(read_measured().results.values())


SEEDS = Seeds(Bundle(shipped, read_shipped_samples))


def points(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row per point of the first seed and one column per number, named with its protocol.

    Raises:
        ValueError: Two variants of a point have the same number, so a table would hide one of them.
    """
    rows, mine = [], [one for one in results if one.variant.model == MODEL and seed(one.variant) in (None, 0)]
    tasks = {
        protocol: counted_tasks(accuracies_of(of_dense))
        for result in mine
        if point(result.variant) == DENSE
        for protocol, of_dense in by_protocol(result.measurements).items()
    }
    for result in mine:
        place = point(result.variant)
        rows += [(*place, name, value) for name, value in _numbers(result, tasks).items()]
    frame = pd.DataFrame(rows, columns=["method", "recovery", "removed", "name", "value"])
    return frame.pivot(index=["method", "recovery", "removed"], columns="name", values="value")


def numbers_of(found: pd.DataFrame, place: Point) -> pd.Series:
    """Return the numbers of a point by name."""
    return cast(pd.Series, found.xs(place))  # `points` returns one row per point


def point(variant: Variant) -> Point:
    """Return the point of a variant in tables.

    The method is the chain without its recovery, the last stage if that removes nothing. Its amounts before the last
    are part of the method. A method that prunes during training counts as a recovery of its one-shot form.
    """
    found = formatting.label_parts(variant.stages)
    after = found.pop().name if len(found) > 1 and not found[-1].removing else ""
    last = max((place for place, part in enumerate(found) if part.removing), default=None)
    names = []
    for place, part in enumerate(found):
        more = part.removing if place != last else None
        names.append(part.name + (f" {formatting.format_amount(more.amount)}" if more else ""))
    amount = variant.amount
    removed = "nothing" if amount is None else amount.label if isinstance(amount, Ratio) else str(amount)
    name = "+".join(names)
    return (TRAINED_METHODS[name], name, removed) if name in TRAINED_METHODS else (name, after, removed)


def seed(variant: Variant) -> int | None:
    """Return the highest seed of a variant's stages; None if no stage has a seed."""
    return max((stage.seed for stage in variant.stages if stage.seed is not None), default=None)


def reads_calibration(variant: Variant) -> bool:
    """Return whether a variant uses the page's calibration data, or none."""
    first = variant.stages[0]
    return first.calibration is None or first.calibration.corpus == CALIBRATED


def untuned(stages: Sequence[Stage]) -> list[Stage]:
    """Return stages without the parameters of trainings, which the page describes."""
    return [stage.model_copy(update={"parameters": {}} if stage.recovers else {}) for stage in stages]


def _numbers(result: Result, tasks: Mapping[tuple[Scalar, ...], Sequence[str]]) -> dict[str, float]:
    """Return a result's numbers by name; `tasks` are those that count under each protocol."""
    numbers = {column(row): row.value for row in result.measurements}
    numbers |= {f"± {column(row)}": row.stderr for row in result.measurements if row.stderr is not None}
    for protocol, rows in sevens(result.measurements).items():
        there = {row.dataset: row for row in rows}
        means = {MEAN: mean(rows)}
        if names := tasks.get(protocol):
            means[ABOVE_CHANCE] = mean_above_chance([there[name] for name in names])
        for of, (value, stderr) in means.items():
            name = accuracy(max(row.n for row in rows), of)
            numbers |= {name: 100 * value} | ({f"± {name}": 100 * stderr} if stderr is not None else {})
    if training := result.variant.details.get("training"):
        held_out = dict(training["held_out"])  # by step
        numbers |= {STEPS: training["steps"], HELD_OUT: held_out[training["best_step"]]}
    return numbers


def accuracy(documents: int, mean: str = ABOVE_CHANCE) -> str:
    """Return the name of a mean with a number of documents per task."""
    return f"{mean}:{documents}"


def documents(*rows: pd.Series) -> int | None:
    """Return the largest number of documents per task whose mean above chance all points have; None without any."""
    known = [name for name in rows[0].index if name.startswith(f"{ABOVE_CHANCE}:")]
    shared = [name for name in known if not any(math.isnan(row[name]) for row in rows)]
    return max((int(name.rpartition(":")[2]) for name in shared), default=None)


def number(value: float) -> str:
    """Write a perplexity or another positive number: `20.71`, `3,974`, `9.8e5`; empty if missing."""
    if math.isnan(value):
        return ""
    if value < 1000:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value < 1e5 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def accuracies(found: pd.DataFrame, *rows: pd.Series) -> str:
    """Write the means above chance of points, `17.3 → 19.9`, on the most documents that all of them have.

    The number of documents follows in brackets if it differs from dense's. Empty if the points share none.
    """
    count = documents(*rows)
    if count is None:
        return ""
    text = " → ".join(f"{row[accuracy(count)]:.1f}" for row in rows)
    return text if count == documents(numbers_of(found, DENSE)) else f"{text} ({count})"


def dense(found: pd.DataFrame) -> dict[str, str]:
    """Return the dense model's numbers by name, with standard errors under `± name`."""
    row = numbers_of(found, DENSE).dropna()
    values = {str(name): value for name, value in row.items()}
    means = (ABOVE_CHANCE, MEAN)
    numbers = {
        name: f"{value:.1f}" if any(of in name for of in means) else number(value) for name, value in values.items()
    }
    if (count := documents(row)) is None:
        raise ValueError("The dense model has no accuracy on all seven tasks: add its bundled rows.")
    names = {f"{sign}{of}": f"{sign}{accuracy(count, of)}" for of in means for sign in ("", "± ")}
    return numbers | {short: numbers[name] for short, name in names.items()}


def tasks_sentence(found: pd.DataFrame) -> str:
    """Return the sentence on the tasks that the mean above chance counts."""
    row = numbers_of(found, DENSE)
    names = {task: f"{TASKS[task].metric} {task}:{documents(row)}" for task in SEVEN}
    return counted_words({task: (row[name], row[f"± {name}"]) for task, name in names.items()})


def gap_closed(found: pd.DataFrame, method: str, recovery: str, removed: str) -> str:
    """Return the share of the gap in log-perplexity to dense that a recovery closes: `38 %`."""
    names = [DENSE, (method, "", removed), (method, recovery, removed)]
    least, before, after = (math.log(numbers_of(found, name)[LONG]) for name in names)
    return f"{100 * (before - after) / (before - least):.0f} %"


def held_out(found: pd.DataFrame, method: str, recovery: str, removed: str) -> str:
    """Return the loss on held-out training data, in nats per token."""
    return f"{numbers_of(found, (method, recovery, removed))[HELD_OUT]:.3f}"
