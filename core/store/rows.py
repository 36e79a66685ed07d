"""Conversion of results to database rows and back; an unusable row is skipped with a warning.

Standard errors of numbers of windows are corrected for the correlation of windows, as it is known now.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import Row

from core.base.errors import UserError
from core.fields import fault
from core.results import Footprint, LayerReport, Measurement, Result, Variant
from core.specs import sha256
from core.statistics.correlations import INTERVAL, VALUES, WIDENED, correlation_of, widening
from core.statistics.longrun import inflation

Columns: TypeAlias = "Row[str, str]"  # or more
SHOWN = 12  # digits of a key
Part = TypeVar("Part", bound=BaseModel)
LAYERS = TypeAdapter(tuple[LayerReport, ...])


def written(result: Result) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Return a result as a row of the table `variants` and its numbers as rows of `measurements`."""
    variant, key = result.variant, result.variant.key
    row = {
        "key": key,
        "model": variant.model,
        "method": variant.method,
        "variant": variant.model_dump_json(),
        "footprint": result.footprint.model_dump_json() if result.footprint else "null",
        "layers": f"[{','.join(layer.model_dump_json() for layer in result.layers)}]",
    }
    numbers = []
    for measurement in result.measurements:
        metric, dataset, protocol = measurement.identity
        identity = {"variant": key, "metric": metric, "dataset": dataset, "protocol": sha256(protocol)}
        numbers.append(identity | {"data": measurement.model_dump_json()})
    return row, numbers


def revision_of(variant: str) -> str | None:
    """Return the revision in the JSON of a stored variant; None if it is damaged."""
    try:
        revision = json.loads(variant)["revision"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return revision if isinstance(revision, str) else None


class ParsedRow(NamedTuple):
    """The result in a row of `variants` and its rows of `measurements`."""

    key: str
    result: Result | None  # None if the row is unusable
    warnings: tuple[str, ...]  # on its unusable parts


def read_each(variants: Iterable[Columns], measurements: Iterable[Columns]) -> Iterator[ParsedRow]:
    """Yield the results in rows of the tables `variants` and `measurements` (variant, data)."""
    by_variant: dict[str, list[str]] = {}
    for key, data in measurements:
        by_variant.setdefault(key, []).append(data)
    for row in variants:
        warnings: list[str] = []
        numbers = by_variant.pop(row.key, ())
        result = _at_once(row, numbers) or _one_by_one(row, numbers, warnings)
        yield ParsedRow(row.key, corrected(result) if result else None, tuple(warnings))


def _at_once(row: Columns, numbers: Iterable[str]) -> Result | None:
    try:
        result = Result.model_validate_json(
            f'{{"variant":{row.variant},"footprint":{row.footprint},"layers":{row.layers},'
            f'"measurements":[{",".join(numbers)}]}}'
        )
    except (ValidationError, TypeError):
        return None
    return result if result.variant.key == row.key else None


def _one_by_one(row: Columns, numbers: Iterable[str], warnings: list[str]) -> Result | None:
    name = ascii(row.key[:SHOWN])[1:-1]  # printable on any terminal
    again = "a run that needs it computes it again"

    def read(kind: str, parse: Callable[[str], Part], text: str) -> Part | None:
        try:
            return parse(text)
        except (ValidationError, UserError) as error:
            reason = fault(error) if isinstance(error, ValidationError) else str(error).rstrip(".")
            warnings.append(f"{kind} {name} is skipped ({reason}); {again}.")
            return None

    variant = read("The stored variant", Variant.model_validate_json, row.variant)
    counted = variant is not None and not variant.is_external
    if variant and variant.is_external:
        again = "import it again"
    footprint = (
        read("The footprint of the stored variant", Footprint.model_validate_json, row.footprint) if counted else None
    )
    if variant is None or (counted and footprint is None):
        return None
    if variant.key != row.key:
        warnings.append(f"The stored variant {name} is skipped (its key does not match its content); {again}.")
        return None
    parsed = [read("A number of the stored variant", Measurement.model_validate_json, text) for text in numbers]
    try:
        layers = LAYERS.validate_json(row.layers)
    except ValidationError as error:
        layers = ()
        warnings.append(f"The layers of the stored variant {name} are skipped ({fault(error)}).")
    usable = tuple(number for number in parsed if number)
    return Result(variant=variant, footprint=footprint, measurements=usable, layers=layers)


def corrected(result: Result) -> Result:
    """Correct the standard errors of means over windows.

    Those of texts with a bundled record use its correlation. Others use that of the measured windows, or, in rows of
    early versions, assume independent ones. They are widened, once, unless the windows are enough for a record.
    """
    rows = tuple(map(_corrected, result.measurements))
    return result.model_copy(update={"measurements": rows}) if rows != result.measurements else result


def _corrected(row: Measurement) -> Measurement:
    if not row.on_windows or row.metric not in VALUES or row.origin != "measured" or row.stderr is None:
        return row
    number = row.dataset, row.protocol, VALUES[row.metric]
    correlation, stored, details = correlation_of(*number), row.inflation or 1.0, dict(row.details)
    if correlation is not None:
        larger = inflation(row.n, correlation)
        details.pop(INTERVAL, None)  # the record is newer than the row
    elif INTERVAL in details or (factor := widening(*number, row.n)) == 1:
        return row
    else:
        larger, details[INTERVAL] = stored * factor, WIDENED
    stderr = row.stderr * math.sqrt(larger / stored)
    return row.model_copy(update={"stderr": stderr, "inflation": larger, "details": details})
