"""Filters and order of a list of results."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from core.base.errors import UserError, echo
from core.cli.printing.overview import Headline, headline_of
from core.cli.printing.tables import Names, packed_megabytes
from core.notation.chain import format_chain
from core.results import Result

NUMBERED = ("perplexity", "accuracy")
ORDERS = (*NUMBERED, "size", "chain")


@dataclass(frozen=True)
class Selection:
    """Filters, order and length of a list; None and False have no effect."""

    models: Collection[str] | None = None  # display names
    chain: str | None = None  # text that the chain contains
    own: bool = False  # only variants with numbers of the user's own
    sort: str | None = None  # one of `ORDERS`
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.sort is not None and self.sort not in ORDERS:
            raise UserError(f"Order {echo(self.sort)} is unknown; choose one of {', '.join(ORDERS)}.")

    @property
    def everything(self) -> bool:
        return self == Selection()

    def of(self, results: Iterable[Result], names: Names, own_keys: Collection[str]) -> tuple[list[Result], Headline]:
        """Return the selected results and their headline numbers.

        Args:
            results: All results.
            names: Display names of models.
            own_keys: Keys of variants with numbers of the user's own.
        """
        every = list(results)
        selected = [
            result
            for result in every
            if (self.models is None or names[result.variant.model_id] in self.models)
            and (self.chain is None or self.chain in format_chain(result.variant.stages))
            and (not self.own or result.variant.key in own_keys)
        ]
        headline = headline_of(selected, every)
        if self.sort is not None:
            selected.sort(key=_order(self.sort, headline))
        shown = selected[: self.limit]
        return shown, headline if self.sort in NUMBERED else headline_of(shown, every)


def _order(sort: str, headline: Headline) -> Callable[[Result], tuple[float, str]]:
    """Return the sort key of an order: best first, results without the number last, ties by chain."""
    from core.findings.numbers.seven import ABOVE_CHANCE

    def perplexity(result: Result) -> float | None:
        row = headline.perplexity(result)
        return row.value if row else None

    def accuracy(result: Result) -> float | None:
        mean = headline.means(result).get(ABOVE_CHANCE)
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
