"""What variants gain or lose against one of them, in every number that they have in common: paired and in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.analysis.frame import protocol_sentence
from core.analysis.paired import Difference, difference, holm, mean_difference, verdict
from core.analysis.seven import MEAN, sevens
from core.data.cards import SEVEN
from core.errors import UserError
from core.results import Measurement, Result
from core.specs import sha256

if TYPE_CHECKING:
    from pandas import DataFrame

PAIRED = ("acc", "acc_norm", "perplexity")  # metrics of documents or windows
NUMBER = ("dataset", "metric", "protocol_id")  # what is compared, and adjusted for being shown together
FIGURES = tuple(Difference.model_fields)  # difference, stderr, low, high, p ...
COLUMNS = ("key", *NUMBER, "protocol", "reference", "value", *FIGURES, "adjusted", "verdict", "why")

Samples = Callable[[str, Measurement], "DataFrame | None"]  # as `Store.samples`


def differences(results: Sequence[Result], reference: Result, samples: Samples) -> pd.DataFrame:
    """Return `COLUMNS`, a row a number that a result has in common with the reference, and one a mean of seven.

    `reference` and `value` are both numbers, and the figures those of `core.analysis.paired.Difference`, the result
    minus the reference. `adjusted` is `p` by Holm over the results given, and `verdict` what can be said at it. Where
    outcomes were not kept, figures and verdict are missing and `why` says so in words.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        if result.variant.key != reference.variant.key:
            rows += _of_one(result, reference, samples)
    together: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        together.setdefault(tuple(row[name] for name in NUMBER), []).append(row)
    for part in together.values():
        paired = [row for row in part if row["found"]]
        for row, adjusted in zip(paired, holm([row["p"] for row in paired]), strict=True):
            row |= {"adjusted": adjusted, "verdict": verdict(row["found"], adjusted)}
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_one(result: Result, reference: Result, samples: Samples) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], Difference | str] = {}
    rows = []
    for measurement in result.measurements:
        if measurement.metric in PAIRED and (twin := reference.measurement(measurement)):
            known = _paired(result, reference, measurement, twin, samples)
            found[measurement.identity] = known
            about = (measurement.dataset, measurement.metric, sha256(measurement.identity[2])[:8])
            rows.append(_row(result, about, protocol_sentence(measurement), twin.value, measurement.value, known))
    mine, theirs = sevens(result.measurements), sevens(reference.measurements)
    for protocol in mine.keys() & theirs.keys():
        pairs = [found.get(row.identity, "the tasks' documents are not the same") for row in mine[protocol]]
        why = next((pair for pair in pairs if isinstance(pair, str)), None)
        known = why or mean_difference([pair for pair in pairs if isinstance(pair, Difference)])
        reference_mean, mean = (sum(row.value for row in group[protocol]) / len(SEVEN) for group in (theirs, mine))
        about = (MEAN, "acc", sha256(repr(protocol))[:8])
        rows.append(_row(result, about, protocol_sentence(mine[protocol][0]), reference_mean, mean, known))
    return rows


def _paired(
    result: Result, reference: Result, measurement: Measurement, twin: Measurement, samples: Samples
) -> Difference | str:
    """Return the difference, or why there is none."""
    first, second = samples(reference.variant.key, twin), samples(result.variant.key, measurement)
    if first is None or second is None:
        return "cannot be paired: what was answered, document by document, was not kept"
    try:
        return difference(measurement.metric, first, second)
    except UserError as error:
        return f"cannot be paired: {error}"


def _row(
    result: Result, about: tuple[str, str, str], protocol: str, reference: float, value: float, found: Difference | str
) -> dict[str, Any]:
    row: dict[str, Any] = {"key": result.variant.key, **dict(zip(NUMBER, about, strict=True)), "protocol": protocol}
    row |= {"reference": reference, "value": value}
    return row | ({"found": None, "why": found} if isinstance(found, str) else {"found": found, **found.model_dump()})
