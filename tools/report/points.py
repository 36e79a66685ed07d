"""The numbers of `results.md`: from the shipped results to one row a point, and as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import pandas as pd

from core import formatting
from core.analysis.reporting import UNADJUSTED
from core.analysis.seven import MEAN, mean, sevens
from core.cli.tables import column
from core.registry import METHODS
from core.results import Result, Variant
from core.training.base import TrainPruneMethod

MODEL = "smollm2-135m"
LONG = "perplexity wikitext2@2048:16"
SECOND = "gemma3-270m"
TEXTS = {MODEL: LONG, SECOND: "perplexity wikitext2@2048:8"}  # the perplexity that tables tell of each model
STEPS, HELD_OUT = "steps", "held-out loss"
# Columns of paired differences, whose cells have an interval.
BESIDE_DENSE, RATIOS, MEANS = (
    f"{column} [{UNADJUSTED}]" for column in ("against dense", "perplexity", "mean of seven, points")
)
DENSE = ("dense", "", "nothing")
TRAINED_METHODS = {  # that remove while they train -> the same in one shot
    method.name: method.name.removesuffix("-trained") for method in METHODS if issubclass(method, TrainPruneMethod)
}

Point = tuple[str, str, str]  # method, recovery, what was removed


def points(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row a point and one column a number, named with its protocol; of the first seed only.

    Raises `ValueError` where two variants of a point have the same number: no table shows one of several unsaid.
    """
    rows = []
    for result in results:
        if result.variant.model == MODEL and seed(result.variant) in (None, 0):
            place = point(result.variant)
            rows += [(*place, name, value) for name, value in _numbers(result).items()]
    frame = pd.DataFrame(rows, columns=["method", "recovery", "removed", "name", "value"])
    return frame.pivot(index=["method", "recovery", "removed"], columns="name", values="value")


def numbers_of(found: pd.DataFrame, place: Point) -> pd.Series:
    """Return the numbers of a point by name."""
    return cast(pd.Series, found.xs(place))  # `points` returns one row a point


def point(variant: Variant) -> Point:
    """Return where a variant stands in tables.

    A chain is what it is made of, without its last part where that removes nothing, which is the recovery. Amounts
    before the last are told with their method. A method that trains is a recovery of the same in one shot.
    """
    found = formatting.label_parts(variant.stages)
    after = found.pop().name if len(found) > 1 and not found[-1].removing else ""
    last = max((place for place, part in enumerate(found) if part.removing), default=None)
    names = []
    for place, part in enumerate(found):
        more = part.removing if place != last else None
        names.append(part.name + (f" {formatting.format_amount(more.ratio, more.pattern)}" if more else ""))
    removed = variant.pattern or ("nothing" if variant.ratio is None else f"{100 * variant.ratio:g} %")
    name = "+".join(names)
    return (TRAINED_METHODS[name], name, removed) if name in TRAINED_METHODS else (name, after, removed)


def seed(variant: Variant) -> int | None:
    """Return the highest seed of a variant's stages, None where nothing is drawn."""
    return max((stage.seed for stage in variant.stages if stage.seed is not None), default=None)


def _numbers(result: Result) -> dict[str, float]:
    numbers = {column(row): row.value for row in result.measurements}
    numbers |= {f"± {column(row)}": row.stderr for row in result.measurements if row.stderr is not None}
    for rows in sevens(result.measurements).values():
        (value, stderr), name = mean(rows), accuracy(max(row.n for row in rows))
        numbers |= {name: 100 * value} | ({f"± {name}": 100 * stderr} if stderr is not None else {})
    if training := result.variant.details.get("training"):
        held_out = dict(training["held_out"])  # by step
        numbers |= {STEPS: training["steps"], HELD_OUT: held_out[training["best_step"]]}
    return numbers


def accuracy(documents: int) -> str:
    """Return the name of the mean accuracy of seven tasks with so many documents each."""
    return f"{MEAN}:{documents}"


def documents(*rows: pd.Series) -> int | None:
    """Return how many documents a task stand behind the mean accuracies of points: the most that all of them have.

    None where they have none in common.
    """
    known = [name for name in rows[0].index if name.startswith(f"{MEAN}:")]
    shared = [name for name in known if not any(math.isnan(row[name]) for row in rows)]
    return max((int(name.rpartition(":")[2]) for name in shared), default=None)


def number(value: float) -> str:
    """Write a perplexity, or another positive number: `20.71`, `3,974`, `9.8e5`; empty where it is missing."""
    if math.isnan(value):
        return ""
    if value < 1000:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value < 1e5 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def accuracies(found: pd.DataFrame, *rows: pd.Series) -> str:
    """Write the mean accuracies of points in percent, `41.3 → 43.9`, on as many documents as all of them have.

    Where these are not as many as dense has, their number stands in brackets; empty where they have none in common.
    """
    count = documents(*rows)
    if count is None:
        return ""
    text = " → ".join(f"{row[accuracy(count)]:.1f}" for row in rows)
    return text if count == documents(numbers_of(found, DENSE)) else f"{text} ({count})"


def dense(found: pd.DataFrame) -> dict[str, str]:
    """Return the dense model's numbers by name; the standard error of a number is under `± name`."""
    row = numbers_of(found, DENSE).dropna()
    values = {str(name): value for name, value in row.items()}
    numbers = {name: f"{value:.1f}" if MEAN in name else number(value) for name, value in values.items()}
    if (count := documents(row)) is None:
        raise ValueError("The dense model has no accuracy on all seven tasks: add its bundled rows.")
    name = accuracy(count)
    return numbers | {MEAN: numbers[name], f"± {MEAN}": numbers[f"± {name}"]}


def gap_closed(found: pd.DataFrame, method: str, recovery: str, removed: str) -> str:
    """Return the share of the gap in log-perplexity to dense that a recovery closes, as `38 %`."""
    names = [DENSE, (method, "", removed), (method, recovery, removed)]
    least, before, after = (math.log(numbers_of(found, name)[LONG]) for name in names)
    return f"{100 * (before - after) / (before - least):.0f} %"


def held_out(found: pd.DataFrame, method: str, recovery: str, removed: str) -> str:
    """Return the loss on the training text's held-out windows, in nats a token."""
    return f"{numbers_of(found, (method, recovery, removed))[HELD_OUT]:.3f}"
