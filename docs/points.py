"""The numbers of `results.md`: from the shipped results to one row a point, and as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from core import words
from core.analysis.seven import mean_of_seven
from core.cli.tables import column
from core.results import Result, Variant

MODEL = "smollm2-135m"
LONG = "perplexity wikitext2@2048:16"
ACCURACY = "mean of seven"
STEPS, HELD_OUT = "steps", "held-out loss"


def points(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row a point (method, recovery, removed) and one column a number, named with its protocol.

    Raises `ValueError` where two variants of a point have the same number: no table shows one of several unsaid.
    """
    rows = []
    for result in results:
        variant = result.variant
        if variant.model != MODEL:
            continue
        removed = variant.pattern or ("nothing" if variant.ratio is None else f"{100 * variant.ratio:g} %")
        place = (*_made(variant), removed)
        rows += [(*place, name, value) for name, value in _numbers(result).items()]
    frame = pd.DataFrame(rows, columns=["method", "recovery", "removed", "name", "value"])
    return frame.pivot(index=["method", "recovery", "removed"], columns="name", values="value")


def _made(variant: Variant) -> tuple[str, str]:
    """Return method and recovery: what a chain is made of, without and with its last part where that removes nothing.

    Amounts before the last are told with their method.
    """
    found = words.parts(variant.stages)
    after = found.pop().name if len(found) > 1 and not found[-1].removing else ""
    last = max((place for place, part in enumerate(found) if part.removing), default=None)
    names = []
    for place, part in enumerate(found):
        more = part.removing if place != last else None
        names.append(part.name + (f" {words.amount(more.ratio, more.pattern)}" if more else ""))
    return "+".join(names), after


def _numbers(result: Result) -> dict[str, float]:
    numbers = {column(row): row.value for row in result.measurements}
    numbers |= {f"± {column(row)}": row.stderr for row in result.measurements if row.stderr is not None}
    if mean := mean_of_seven(result.measurements):
        value, stderr = mean
        numbers |= {ACCURACY: 100 * value} | ({f"± {ACCURACY}": 100 * stderr} if stderr is not None else {})
    if training := result.variant.details.get("training"):
        held_out = dict(training["held_out"])  # by step
        numbers |= {STEPS: training["steps"], HELD_OUT: held_out[training["best_step"]]}
    return numbers


def number(value: float) -> str:
    """Write a perplexity, or another positive number: `20.71`, `3,974`, `9.8e5`; empty where it is missing."""
    if math.isnan(value):
        return ""
    if value < 1000:
        return f"{value:.2f}"
    return f"{value:,.0f}" if value < 1e5 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def percent(value: float) -> str:
    """Write a mean accuracy in percent."""
    return "" if math.isnan(value) else f"{value:.1f}"


def dense(found: pd.DataFrame) -> dict[str, str]:
    """Return the dense model's numbers by name; the standard error of a number is under `± name`."""
    row = found.loc[("dense", "", "nothing")].dropna()
    return {name: percent(value) if ACCURACY in name else number(value) for name, value in row.items()}


def gap_closed(found: pd.DataFrame, method: str, recovery: str, removed: str) -> str:
    """Return the share of the gap in log-perplexity to dense that a recovery closes, as `38 %`."""
    names = [("dense", "", "nothing"), (method, "", removed), (method, recovery, removed)]
    least, before, after = (math.log(found.loc[name, LONG]) for name in names)
    return f"{100 * (before - after) / (before - least):.0f} %"


def held_out(found: pd.DataFrame, method: str, recovery: str, removed: str) -> str:
    """Return the loss on the training text's held-out windows, in nats a token."""
    return f"{found.loc[(method, recovery, removed), HELD_OUT]:.3f}"
