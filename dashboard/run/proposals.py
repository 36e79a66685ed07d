"""Amounts that the forms propose: those without results on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from core.amount import Bits, Factor
from core.base.errors import UserError
from core.notation.chain import parse, plain
from core.registry import get_stage
from core.request.baseline import keys_of, remaining_run
from core.request.complete import complete
from core.request.stages import DEFAULT_MODEL, DEFAULT_RATIO
from dashboard import data

# Every twentieth, those near the default ratio first.
RATIOS = tuple(map(plain, sorted((place / 20 for place in range(1, 20)), key=lambda at: abs(at - DEFAULT_RATIO))))
SPREAD = ("0.3", "0.5", "0.7")  # first ratios of a grid


def unmeasured(chain: str, amounts: Sequence[str]) -> list[str]:
    """Return the amounts without results for a chain with an open amount, on the default model and texts."""
    try:
        place = next(stage for stage in parse(chain) if stage.open).amount_place
        specs = [complete(DEFAULT_MODEL, chain[:place] + amount + chain[place:]) for amount in amounts]
    except (UserError, StopIteration):  # the form shows the error
        return list(amounts)
    stored = data.results(keys_of(specs))
    return [amount for amount, spec in zip(amounts, specs, strict=True) if remaining_run(spec, stored)]


def grid_amounts(chain: str) -> list[str]:
    """Return the first amounts of a grid for a chain with an open amount: three without results, if there are any."""
    try:
        method = next(get_stage(stage.name) for stage in parse(chain) if stage.open)
    except (UserError, StopIteration):
        return list(SPREAD)
    bits, factors = map(Bits, method.bit_choices), map(Factor, method.factor_choices)
    amounts = [str(amount) for amount in (*bits, *factors)] or [*dict.fromkeys((*SPREAD, *RATIOS))]
    chosen = (unmeasured(chain, amounts) or amounts)[: len(SPREAD)]
    return sorted(chosen, key=amounts.index if amounts[0] != SPREAD[0] else float)
