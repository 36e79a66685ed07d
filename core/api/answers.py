"""Answers from stored results: the best variant, the better of two, and the curve of a family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from core.specs import Perplexity

if TYPE_CHECKING:
    from core.findings.curve import Curve
    from core.findings.pairs.numbers import Comparison
    from core.findings.question import BestFinding


class HasKey(Protocol):
    """A variant of `load` or `compress`."""

    @property
    def key(self) -> str:
        """The key of the variant."""


def best(
    model: str,
    *,
    max_mb: float | None = None,
    max_ms: float | None = None,
    max_times: float | None = None,
    at: float | str | None = None,
    family: str | None = None,
    text: str | None = None,
    training: bool = True,
    only: str | None = None,
) -> BestFinding:
    """Return the best stored variant within a budget or at an amount, as `slimscope best` does.

    With `max_times` alone it is the smallest variant.

    Args:
        model: A model as for `load`, or its name in the column `model` of `results`.
        max_mb: The most megabytes of packed size, or of the file in the format `only`.
        max_ms: The most milliseconds per generated token.
        max_times: The highest perplexity, as a multiple of the dense model's.
        at: Only variants at an amount, such as 0.5 or `2:4`.
        family: Only methods of a family, such as `quantisation`.
        text: The text of the perplexities, such as `wikitext2@2048:16`.
        training: Whether variants may be trained.
        only: Only variants that fit this export format, such as `gguf`.

    Returns:
        The answer, which prints as its sentence. `rows` has the variants, the best first, and `winner` a key.

    Raises:
        UserError: An argument is unknown or not above 0, there is no limit and no amount, or the model has no such
            perplexity.
    """
    from core.cli.best import ask
    from core.store.store import Store

    limits = {"max_mb": max_mb, "max_ms": max_ms, "max_times": max_times}
    asked = None if text is None else Perplexity.parse(text)
    amount = None if at is None else str(at)
    return ask(Store(), str(model), limits, at=amount, family=family, text=asked, training=training, only=only)


def compare(first: str | HasKey, second: str | HasKey) -> Comparison:
    """Return whether one variant is better than another, from their stored numbers, as `slimscope compare` does.

    Args:
        first: A variant of `load` or `compress`, a key or its first 8 or more digits, or `dense`: the dense model of
            the other.
        second: The same of the variant to compare with.

    Returns:
        The answer, which prints as its sentence. `rows` has the paired difference of the first to the second in each
        number that both have, with its unadjusted 95 % interval.

    Raises:
        UserError: A key is unknown, or both are the same.
    """
    from core.cli.compare import chosen
    from core.findings.finding import StoreReader
    from core.findings.pairs.numbers import compare as answer
    from core.notation.short import short_name
    from core.store.store import Store

    store = Store()
    reference, one = chosen(store, [each if isinstance(each, str) else each.key for each in (second, first)])
    found = StoreReader(store).paired([(one.variant.key,)], reference.variant.key)
    return answer(found, short_name(one.variant), short_name(reference.variant))


def curve(model: str, *, family: str | None = None, at: float | str | None = None, text: str | None = None) -> Curve:
    """Return the perplexities of a family of methods by amount, and the best at one, as the page Explore does.

    Args:
        model: A model as for `load`, or its name in the column `model` of `results`.
        family: The family of the methods, such as `quantisation`; by default the first with results.
        at: The amount of the answer, such as 0.5 or `4bit`; by default a usual one.
        text: The text of the perplexities, such as `wikitext2@2048:16`.

    Returns:
        The answer, which prints as its sentence. `rows` has a row for each method and amount, and `winners` the keys of
        the best variants.

    Raises:
        UserError: An argument is unknown, or the model has no such perplexity.
    """
    from core.amount import Amount
    from core.cli.naming import matching_name
    from core.data.corpora import default_corpora
    from core.findings.curve import curve as answer
    from core.findings.finding import StoreReader
    from core.notation.formatting import format_amount
    from core.store.store import Store

    store = Store()
    names, reader = store.model_names(), StoreReader(store)
    name = matching_name(str(model), names)
    rows = reader.of_model(name, names)
    wanted = None if text is None else Perplexity.parse(text)
    amount = None if at is None else format_amount(Amount.parse(str(at)))
    return answer(name, rows, default_corpora()[0], reader, family, wanted, amount)
