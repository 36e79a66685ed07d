"""What a search expects of an amount that was not measured: its prior against the fitted laws.

    python -m benchmarks.search.prior [--of smollm2-135m]

Each bundled series of a single pruning stage loses one ratio at a time. The prior and the laws predict its effect from
the other ratios: ln(perplexity / dense), the mean over the texts. `inside` the other ratios, or `beyond` them.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.smoke import run
from core.amount import Ratio
from core.findings.laws.fit import predicted, problem, solved
from core.findings.laws.forms import FORMS
from core.findings.laws.groups import Group, size_of
from core.request.stages import DEFAULT_MODEL
from core.search.prior import MOST, MeasuredEffect, Prior, stored_effects
from core.specs import canonical_json
from core.store.bundled import read_measured

SMOKE: dict[str, str] = {}
LEAST = 3  # other ratios of a series
RULE = "prior"


class Prediction(NamedTuple):
    """The errors of the predictions of one effect, by what predicted it, in nats."""

    inside: bool
    errors: dict[str, float]


def main(of: str = DEFAULT_MODEL) -> None:
    """Print the errors of the prior and of each law."""
    results = [result for result in read_measured().results.values() if result.variant.model == of]
    whole = [result for result in results if result.variant.key == result.variant.dense_key]
    values = [row.value for one in whole for row in one.measurements if row.metric == "perplexity" and row.of_text]
    dense = float(np.mean(np.log(values)))
    found = list(_predictions(stored_effects(results), dense, of))
    table = Table(title=f"Errors of predicted effects of {of}, nats", title_justify="left")
    for name in ("predicted by", "effects", "median inside", "mean inside", "median beyond", "mean beyond"):
        table.add_column(name, justify="left" if name == "predicted by" else "right")
    for name in (RULE, *(form.name for form in FORMS)):
        cells = []
        for inside in (True, False):
            errors = [one.errors[name] for one in found if one.inside == inside and name in one.errors]
            cells += [f"{np.median(errors):.3f}", f"{np.mean(errors):.3f}"] if errors else ["", ""]
        table.add_row(name, str(sum(name in one.errors for one in found)), *cells)
    Console().print(table)


def _predictions(effects: dict[str, MeasuredEffect], dense: float, model: str) -> Iterator[Prediction]:
    series: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)  # chains with their ratios
    for chain, (stages, loss) in effects.items():
        first = stages[0]
        if len(stages) == 1 and isinstance(first.amount, Ratio) and first.prunes and not first.layers and loss < MOST:
            series[first.method, canonical_json(first.parameters)].append((chain, first.amount.value))
    for points in series.values():
        for chain, ratio in points:
            others = [one for one in points if one[0] != chain]
            if len(others) >= LEAST:
                known = {name: one for name, one in effects.items() if name != chain}
                errors = {RULE: Prior(known).of_stage(effects[chain].stages[0]).loss}
                errors |= _by_laws([(effects[name].loss, other) for name, other in others], ratio, dense, model)
                ratios = [other for _, other in others]
                inside = min(ratios) < ratio < max(ratios)
                true = effects[chain].loss
                yield Prediction(inside, {name: abs(min(value, MOST) - true) for name, value in errors.items()})


def _by_laws(points: list[tuple[float, float]], ratio: float, dense: float, model: str) -> dict[str, float]:
    """Return the effect at a ratio by each form that is fitted to effects and their ratios; none if it has none."""
    values, ratios = zip((0.0, 0.0), *points, (np.nan, ratio), strict=True)
    rows = pd.DataFrame({"model": model, "ratio": ratios, "value": dense + np.array(values), "dense": dense})
    rows = rows.assign(series="", parts="", parameters=size_of(model), tokens=0.0)
    seen = rows.iloc[:-1]
    found = {}
    for form in FORMS:
        unknowns = form.unknowns(seen)
        system = problem(form, Group(model, "", "", True, seen), unknowns)
        exponents = solved(system, system.is_defined[None].astype(float))  # (1, unknowns)
        value = float(predicted(form, rows.iloc[-1:], exponents, True, unknowns)[0, 0]) - dense
        if np.isfinite(value):
            found[form.name] = value
    return found


if __name__ == "__main__":
    run(main, SMOKE)
