"""Which results a list has, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from core.chain import format_chain
from core.cli.headline import Headline, headline_of
from core.cli.tables import Names, packed_megabytes
from core.errors import UserError, echo
from core.results import Result

NUMBERED = ("perplexity", "accuracy")
ORDERS = (*NUMBERED, "size", "chain")


@dataclass(frozen=True)
class Selection:
    """What a list is narrowed to; None and False where that is everything."""

    models: Collection[str] | None = None  # display names
    chain: str | None = None  # text that the chain contains
    own: bool = False  # without results that come with the project alone
    sort: str | None = None  # one of `ORDERS`
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.sort is not None and self.sort not in ORDERS:
            raise UserError(f"Results are not sorted by {echo(self.sort)}; choose one of {', '.join(ORDERS)}.")

    @property
    def everything(self) -> bool:
        return self == Selection()

    def of(self, results: Iterable[Result], names: Names, own_keys: Collection[str]) -> tuple[list[Result], Headline]:
        """Return the results that are listed, and the numbers that they are read by.

        Args:
            results: All that there are.
            names: Display names of models.
            own_keys: Of variants with numbers of the user's own.
        """
        found = [
            result
            for result in results
            if (self.models is None or names[result.variant.model_id] in self.models)
            and (self.chain is None or self.chain in format_chain(result.variant.stages))
            and (not self.own or result.variant.key in own_keys)
        ]
        headline = headline_of(found)
        if self.sort is not None:
            found.sort(key=_order(self.sort, headline))
        shown = found[: self.limit]
        return shown, headline if self.sort in NUMBERED else headline_of(shown)


def _order(sort: str, headline: Headline) -> Callable[[Result], tuple[float, str]]:
    """Return the key of an order: the best first, what lacks the number last, and then by the chain."""

    def perplexity(result: Result) -> float | None:
        row = headline.perplexity(result)
        return row.value if row else None

    def accuracy(result: Result) -> float | None:
        mean = headline.mean(result)
        return None if mean is None else -mean

    values: dict[str, Callable[[Result], float | None]] = {
        "perplexity": perplexity,
        "accuracy": accuracy,
        "size": packed_megabytes,
        "chain": lambda result: 0.0,
    }

    def key(result: Result) -> tuple[float, str]:
        value = values[sort](result)
        return math.inf if value is None else value, format_chain(result.variant.stages)

    return key
