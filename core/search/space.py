"""The chains that a search chooses from: what the methods declare, in the orders that stages may have.

A chain is a part in the blocks followed by a part on the embedding and head. Both change different weights, so the
bytes that they save add up, and a chain needs no size of its own. As a file they add up in a type, which follows from
the part in the blocks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from core.amount import Amount, Bits, Factor, Pattern, Ratio
from core.base.errors import UserError
from core.findings.rows.missing import highest_offered
from core.methods.base import Method
from core.methods.terms import GRIDS, Trait
from core.models.shape import ModelShape
from core.models.source import ModelSource
from core.notation.chain import DENSE, ChainDefaults, StageRequest, format_chain, parse, takes_mean
from core.registry import METHODS, PREPARATIONS, RECONSTRUCTIONS, RECOVERIES, get_stage
from core.request.combining import TABLES
from core.request.expected.size import Size, predicted_size
from core.request.resolve import method_of, resolve_chain
from core.request.stages import check_stage_order
from core.results import Variant
from core.shipping.base import Counted, Format
from core.specs import COUNTED, Frozen, Scalar, Stage, VariantSpec

RATIOS = tuple(Ratio(step / 10) for step in range(1, 8))
PATTERNS = (Pattern(2, 4), Pattern(4, 8))
BETWEEN = (0.25, 0.5)  # bits above a choice, for a mean over linears of different bits
RESIZED: frozenset[Trait] = frozenset({"shapes", "factors"})  # traits of linears with other numbers of inputs
SETTINGS: Mapping[str, tuple[Mapping[str, Scalar], ...]] = {  # to try at each amount, where not only the defaults
    "sparsegpt": ({}, {"bits": 4}),
    "gptq": ({}, {"clip": True, "symmetric": False}),
    "rtn": ({}, {"on": "embedding"}),
}

Fits = Callable[[tuple[Stage, ...]], None]
Requests = tuple[StageRequest, ...]


class Restrictions(Frozen):
    """What the user allows."""

    training: bool = True
    structured: bool = True  # whether heads, channels and blocks may go
    methods: tuple[str, ...] = ()  # names of the only stages; empty: all
    only: str | None = None  # name of the format that the model must fit

    def allow(self, chain: Iterable[StageRequest]) -> bool:
        """Return whether every stage may be in a chain."""
        return all(
            (not self.methods or one.name in self.methods)
            and (self.structured or get_stage(one.name).family != "structured")
            and (self.training or method_of(one).data_requirement != "training")
            for one in chain
        )


class Part(NamedTuple):
    """Stages on the same weights, with the size of a model after them alone."""

    chain: str  # empty without stages
    stages: tuple[Stage, ...]
    size: Size


class Candidate(NamedTuple):
    """A chain of a space, by the places of its parts."""

    blocks: int
    tables: int


class Files(NamedTuple):
    """The files of a model's variants in a format, each in the type that loses least."""

    form: Format
    source: ModelSource

    def bytes_of(self, variant: Variant | VariantSpec, counted: Counted) -> float:
        """Return the bytes of a variant as a file."""
        return self.form.size(variant, self.source, counted, self.form.default(variant))

    def sizes(self, blocks: Sequence[Part], tables: Sequence[Part]) -> np.ndarray:
        """Return the bytes of each chain of two parts as a file, (blocks, tables)."""
        source, dense = self.source, (Stage(method=DENSE),)
        variants, others = (
            [VariantSpec(model=source.id, revision=source.revision, stages=part.stages or dense) for part in side]
            for side in (blocks, tables)
        )

        @cache
        def added(kind: str) -> np.ndarray:
            """Return the bytes that the parts of the tables add in a type, (tables,)."""
            each = zip(others, tables, strict=True)
            found = np.array([self.form.size(variant, source, part.size, kind) for variant, part in each])
            more: np.ndarray = found - found[0]
            return more

        kinds = zip(variants, blocks, map(self.form.default, variants), strict=True)
        return np.array([self.form.size(one, source, part.size, kind) + added(kind) for one, part, kind in kinds])


@dataclass(frozen=True)
class Space:
    """The chains of two parts. The first part of each kind has no stages.

    `fits` raises `UserError` for stages in a right order that the model still cannot have. Sizes are those of `files`,
    or packed without them.
    """

    blocks: tuple[Part, ...]
    tables: tuple[Part, ...]
    fits: Fits = lambda stages: None
    files: Files | None = None

    @cached_property
    def sizes(self) -> np.ndarray:
        """The bytes of each chain, (blocks, tables)."""
        if self.files is not None:
            return self.files.sizes(self.blocks, self.tables)
        blocks, tables = (np.array([part.size.packed_bytes for part in side]) for side in (self.blocks, self.tables))
        whole: np.ndarray = blocks[:, None] + tables[None, :] - blocks[0]
        return whole

    def stages(self, place: Candidate) -> tuple[Stage, ...]:
        """Return the stages of a chain."""
        return self.blocks[place.blocks].stages + self.tables[place.tables].stages

    def chain(self, place: Candidate) -> str:
        """Return a chain in its notation."""
        return format_chain(self.stages(place))

    def find(self, chain: str) -> Candidate | None:
        """Return the place of a chain; None if it is not in the space."""
        first, _, last = chain.rpartition("+")
        blocks, tables = ([part.chain for part in side] for side in (self.blocks, self.tables))
        for one, other in ((chain, ""), (first, last)):
            if one in blocks and other in tables:
                return Candidate(blocks.index(one), tables.index(other))
        return None

    def legal(self, place: Candidate) -> bool:
        """Return whether the parts of a chain go together."""
        try:
            check_stage_order(self.stages(place))
            self.fits(self.stages(place))
        except UserError:
            return False
        return place != (0, 0)


def enumerate_space(
    shape: ModelShape,
    defaults: ChainDefaults,
    restrictions: Restrictions,
    fits: Fits = lambda stages: None,
    stored: Iterable[str] = (),  # chains with results, whose parts join those that the methods declare
    files: Files | None = None,
) -> Space:
    """Return the legal chains of a model whose size follows from what their methods declare, as `Space` has them."""
    for name in restrictions.methods:
        get_stage(name)
    known = [halves(chain) for chain in map(parse, stored) if restrictions.allow(chain)]
    blocks, tables = (
        _parts([*(with_groups(one, shape) for one in chains), *(both[at] for both in known)], shape, defaults, fits)
        for at, chains in enumerate(declared_chains(restrictions))
    )
    return Space(blocks, tables, fits, files)


def halves(chain: Requests) -> tuple[Requests, Requests]:
    """Return the stages of a chain before its last one on the embedding, and that one; either may be empty."""
    last = 1 if chain and method_of(chain[-1]).modifies == TABLES else 0
    return chain[: len(chain) - last], chain[len(chain) - last :]


def searched_methods() -> tuple[type[Method], ...]:
    """Return the methods of the weights, whose stages a search may combine."""
    return (*_of_weights(), *PREPARATIONS, *RECONSTRUCTIONS, *RECOVERIES)


def _of_weights() -> tuple[type[Method], ...]:
    return tuple(method for method in METHODS if method.family not in ("dense", "runtime"))


def declared_chains(restrictions: Restrictions) -> tuple[list[Requests], list[Requests]]:
    """Return the requested chains in the blocks, in the orders that papers found best, and those on the embedding."""
    of_weights, preparations, repairs = (
        list(_options(methods, restrictions))
        for methods in (_of_weights(), PREPARATIONS, (*RECONSTRUCTIONS, *RECOVERIES))
    )
    in_blocks = [one for one in of_weights if method_of(one).modifies != TABLES]
    pruning = [one for one in in_blocks if get_stage(one.name).ratio_kind in COUNTED]
    rounding = [one for one in in_blocks if get_stage(one.name).ratio_kind == "bits"]
    plain = [one for one in rounding if not one.settings and isinstance(one.amount, Bits) and one.amount.bits % 1 == 0]
    recoveries = [one for one in repairs if get_stage(one.name) in RECOVERIES]
    chains: list[Requests] = [()]
    for prune in pruning:
        chains += [(prune,), *((prune, one) for one in (*repairs, *rounding))]
        chains += [(prune, recovery, one) for recovery in recoveries for one in plain]
    for grid in rounding:
        chains += [(grid,), *((one, grid) for one in preparations), *((grid, one) for one in repairs)]
    return chains, [(), *((one,) for one in of_weights if method_of(one).modifies == TABLES)]


def with_groups(chain: Requests, shape: ModelShape) -> Requests:
    """Return a chain that rounds in whole rows where groups of the default size may not divide the inputs.

    A stage that removes channels or factors matrices leaves numbers of inputs that only the run knows.
    """
    known, fitting = True, []
    for one in chain:
        method = method_of(one)
        in_tables = method.modifies == TABLES
        size: int = getattr(method.parameters, "group_size", 0) if method.leaves & GRIDS else 0
        widths = (shape.hidden,) if in_tables else shape.widths
        if size and (not (known or in_tables) or any(width % size for width in widths)):
            one = replace(one, settings={**one.settings, "group_size": 0})
        known = known and not ("linears" in method.modifies and method.leaves & RESIZED)
        fitting.append(one)
    return tuple(fitting)


def amounts_of(method: type[Method]) -> tuple[Amount | None, ...]:
    """Return the amounts that a search tries of a method."""
    if not method.takes_amount:
        return (None,)
    if method.bit_choices:
        most = max(method.bit_choices)
        between = [bits + step for bits in method.bit_choices for step in BETWEEN if bits + step < most]
        return tuple(Bits(bits) for bits in sorted({*method.bit_choices, *(between if takes_mean(method) else ())}))
    if method.factor_choices:
        return tuple(Factor(factor) for factor in method.factor_choices)
    ratios = tuple(ratio for ratio in RATIOS if ratio.value <= highest_offered(method))
    return ratios + (PATTERNS if method.supports_nm else ())


def _options(methods: Sequence[type[Method]], restrictions: Restrictions) -> Iterator[StageRequest]:
    """Yield the allowed stages of some methods, at each amount with each choice of parameters."""
    for method in methods:
        for settings in SETTINGS.get(method.name, ({},)):
            for amount in amounts_of(method):
                request = StageRequest(method.name, amount, settings=settings)
                if restrictions.allow([request]):
                    yield request


def _parts(chains: Iterable[Requests], shape: ModelShape, defaults: ChainDefaults, fits: Fits) -> tuple[Part, ...]:
    """Return the legal chains with a known size, each once."""
    parts: dict[str, Part] = {}
    for requests in chains:
        try:
            stages = resolve_chain(requests, defaults)
            fits(stages)
        except UserError:
            continue
        chain = format_chain(stages) if stages else ""
        if chain not in parts and (size := predicted_size(shape, stages)):
            parts[chain] = Part(chain, stages, size)
    return tuple(parts.values())
