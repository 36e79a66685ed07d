"""Tables of paired differences between bundled variants, of the baselines of guessing, and of seeds."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

import pandas as pd

from core.cli.printing.tables import column
from core.data.cards import TASKS
from core.findings.numbers.differences import Samples, paired_differences
from core.findings.numbers.paired import baselines
from core.findings.numbers.reporting import judged
from core.findings.numbers.seven import ABOVE_CHANCE
from core.notation.chain import format_chain
from core.results import Measurement, Result
from tools.report.points import (
    DENSE,
    LONG,
    MEANS,
    MODEL,
    RATIOS,
    SEEDS,
    TEXTS,
    TRAINED_METHODS,
    Point,
    number,
    point,
    reads_calibration,
    seed,
)
from tools.report.tables import TRAINED

REMOVED = [(name, "", amount) for amount in ("20 %", "50 %") for name in ("slimllm", "lorap", "llm-pruner")]
ZEROED = [(name, "", amount) for amount in ("50 %", "2:4") for name in ("sparsegpt", "wanda", "ria", "adaprune")]

Known = dict[Point, Result]  # the bundled variants, one per point


def known(results: Iterable[Result]) -> Known:
    """Return the variants of the first seed by point, each with its `compared` numbers.

    Raises:
        ValueError: Two variants of a point have such numbers.
    """
    found: Known = {}
    for result in results:
        result = compared(result)
        if result.variant.model != MODEL or seed(result.variant) not in (None, 0) or not result.measurements:
            continue
        place = point(result.variant)
        if place in found:
            raise ValueError(f"{place} is a duplicate: two of its variants have numbers to pair.")
        found[place] = result
    return found


def compared(result: Result) -> Result:
    """Return a result with only the perplexity in windows of 2048 and the main accuracy of each task."""
    text = TEXTS.get(result.variant.model)
    rows = tuple(row for row in result.measurements if column(row) == text or _of_task(row))
    return result.model_copy(update={"measurements": rows})


def every_apart(found: Known, samples: Samples) -> pd.DataFrame:
    """Compare every variant with dense, by amount."""
    places = sorted((place for place in found if place != DENSE), key=lambda place: place[2])
    return _table([(DENSE, place) for place in places], found, samples).drop(columns="against", errors="ignore")


def removed_apart(found: Known, samples: Samples) -> pd.DataFrame:
    """Compare three structured methods at two ratios with dense and with each other."""
    return _table(_each_beside(REMOVED), found, samples)


def zeroed_apart(found: Known, samples: Samples) -> pd.DataFrame:
    """Compare four unstructured methods at 50 % and 2:4 with dense and with each other."""
    return _table(_each_beside(ZEROED), found, samples)


def trained_apart(found: Known, samples: Samples) -> pd.DataFrame:
    """Compare every trained variant with the variant before its training."""
    pairs = [((method, "", amount), (method, then, amount)) for method, then, amount in found if then in TRAINED]
    return _table(sorted(pairs, key=lambda pair: pair[1][2]), found, samples)


def tasks(found: Known, samples: Samples) -> pd.DataFrame:
    """Tabulate the accuracies of guessing and of dense on each task, in percent.

    They are on the most documents with bundled answers. A task without choices has no accuracy of guessing.
    """
    table: list[dict[str, str]] = []
    dense = found.get(DENSE)
    if dense is None:
        return pd.DataFrame(table)
    for name in TASKS:
        rows = sorted((row for row in dense.measurements if row.dataset == name), key=lambda row: -row.n)
        stored = ((row, samples(dense.variant.key, row)) for row in rows)
        first = next(((row, answers) for row, answers in stored if answers is not None), None)
        if first is None:
            continue
        row, answers = first
        guess = baselines(answers)
        cells = {"task": TASKS[name].label, "metric": row.metric, "documents": str(row.n)}
        cells |= {"chance": _percent(guess.chance), "majority": _percent(guess.majority)}
        table.append(cells | {"dense": _percent(row.value)})
    return pd.DataFrame(table)


def seeds(results: Iterable[Result]) -> pd.DataFrame:
    """Tabulate the perplexity of the chains with several seeds, and the pooled deviation of its logarithm."""
    table: dict[str, dict[int, float]] = {}
    pooled: dict[str, str] = {}
    for result in results:
        variant = result.variant
        drawn = seed(variant)
        if variant.model != MODEL or drawn is None or not reads_calibration(variant):
            continue
        chain = format_chain(variant.stages)
        for row in (row for row in result.measurements if column(row) == LONG):
            table.setdefault(chain, {})[drawn] = row.value
            if found := SEEDS(result, row):
                pooled[chain] = f"{found.variance**0.5:.3f} ({found.freedom})"
    several = {chain: values for chain, values in table.items() if len(values) > 1}
    every = sorted({drawn for values in several.values() for drawn in values})
    return pd.DataFrame(
        [
            {
                "chain": f"`{chain}`",
                **{f"seed {drawn}": number(values[drawn]) if drawn in values else "" for drawn in every},
                "highest / lowest": f"x {max(values.values()) / min(values.values()):.3f}",
                "between seeds": pooled.get(chain, ""),
            }
            for chain, values in several.items()
        ]
    )


def _of_task(row: Measurement) -> bool:
    return row.dataset in TASKS and row.metric == TASKS[row.dataset].metric


def _each_beside(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Return pairs (reference, point) of each amount: every point with dense and with each earlier point."""
    pairs = []
    for amount in dict.fromkeys(place[2] for place in points):
        alike = [place for place in points if place[2] == amount]
        pairs += [(DENSE, place) for place in alike] + list(combinations(alike, 2))
    return pairs


def _table(pairs: Sequence[tuple[Point, Point]], found: Known, samples: Samples) -> pd.DataFrame:
    """Return a row per pair with bundled answers: differences, and verdicts after Holm over the whole table."""
    known = [(first, second) for first, second in pairs if first in found and second in found]
    of_results = [(found[first], found[second]) for first, second in known]
    paired = paired_differences(of_results, samples, [found[DENSE]] if DENSE in found else [], SEEDS)
    paired = paired.dropna(subset="verdict")
    means = paired[paired["dataset"] == ABOVE_CHANCE]
    heads = {
        MEANS: means[means["n"] == means["n"].max()],
        RATIOS: paired[paired["metric"] == "perplexity"],
    }
    cells = {
        head: {(row["reference_key"], row["key"]): judged(row) for row in part.to_dict("records")}
        for head, part in heads.items()
    }
    table = []
    for first, second in known:
        pair = found[first].variant.key, found[second].variant.key
        if any(pair in column for column in cells.values()):
            names = {"removed": second[2], "variant": _name(second), "against": _name(first)}
            table.append(names | {head: column.get(pair, "") for head, column in cells.items()})
    return pd.DataFrame(table)


def _name(place: Point) -> str:
    return place[1] if place[1] in TRAINED_METHODS else " + ".join(filter(None, place[:2]))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


PAIRS: dict[str, Callable[[Known, Samples], pd.DataFrame]] = {
    table.__name__: table for table in (every_apart, removed_apart, zeroed_apart, trained_apart, tasks)
}
