"""Chains that combine two variants whose stages change different weights; imports no torch."""

from functools import lru_cache
from typing import NamedTuple

from core.base.errors import UserError
from core.methods.terms import Place
from core.notation.chain import DENSE, ChainDefaults, common_defaults, format_chain, parse
from core.request.resolve import method_of, resolve_chain
from core.specs import Stage, TextWindows

TABLES: frozenset[Place] = frozenset({"tables"})


class WrittenChain(NamedTuple):
    """A chain in its notation, and the data and the seed of its stages, as tidy rows have them."""

    chain: str
    calibration: str | None
    train: str | None
    seed: int | None


def in_blocks(chain: str) -> bool:
    """Return whether the stages of a chain leave embedding and head unchanged; an amount may be open."""
    return _untouched_tables(_places(chain))


def on_tables(chain: str) -> bool:
    """Return whether a chain is one stage that changes embedding or head only; an amount may be open."""
    return _places(chain) == (TABLES,)


def ends_on_tables(chain: str) -> bool:
    """Return whether a chain in the blocks precedes a last stage `on_tables`; an amount may be open."""
    places = _places(chain)
    return places[-1:] == (TABLES,) and _untouched_tables(places[:-1])


def combine(blocks: WrittenChain, tables: WrittenChain) -> tuple[Stage, ...] | None:
    """Return the checked stages of a chain in the blocks followed by one on the tables, with the data and seed of both.

    Returns None if data or seeds differ between the chains, or if a run would refuse the stages.
    """
    pairs = [*zip(blocks, tables, strict=True)][1:]
    if any(None not in pair and pair[0] != pair[1] for pair in pairs):
        return None
    given = WrittenChain(
        f"{blocks.chain}+{tables.chain}",
        blocks.calibration or tables.calibration,
        blocks.train or tables.train,
        tables.seed if blocks.seed is None else blocks.seed,
    )
    return _resolved(given)


def split(whole: WrittenChain) -> tuple[WrittenChain, WrittenChain] | None:
    """Return the chains that `combine` joins to a chain that `ends_on_tables`; None if this version cannot run it."""
    stages = _resolved(whole)
    return None if stages is None else (written(stages[:-1]), written(stages[-1:]))


def written(stages: tuple[Stage, ...]) -> WrittenChain:
    """Return stages as a written chain."""
    defaults = common_defaults(stages)
    calibration, train = (None if text is None else str(text) for text in (defaults.calibration, defaults.train))
    return WrittenChain(format_chain(stages), calibration, train, defaults.seed)


def _untouched_tables(places: tuple[frozenset[Place], ...]) -> bool:
    return bool(places) and not any("tables" in each for each in places)


@lru_cache(maxsize=4096)  # many variants share a series
def _places(chain: str) -> tuple[frozenset[Place], ...]:
    """Return the places that each stage changes; empty for the dense model and for chains of other versions."""
    try:
        return tuple(method_of(one).modifies for one in parse(chain) if one.name != DENSE)
    except UserError:
        return ()


@lru_cache(maxsize=4096)  # each budget combines many of the same chains
def _resolved(one: WrittenChain) -> tuple[Stage, ...] | None:
    calibration, train = (None if text is None else TextWindows.parse(text) for text in (one.calibration, one.train))
    try:
        return resolve_chain(parse(one.chain), ChainDefaults(calibration, train, one.seed))
    except UserError:
        return None
