"""The chains that a search chooses from: what the methods declare, in the orders that stages may have.

A chain is a part in the blocks followed by a part on the embedding and head. Both change different weights, so the
bytes that they save add up, and a chain needs no size of its own. As a file they add up in a type, which follows from
the part in the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
NOT_FOR_WEIGHTS = ("dense", "convolution", "runtime")  # families

Fits = Callable[[tuple[Stage, ...]], None]


class Restrictions(Frozen):
    """What the user allows."""

    training: bool = True
    structured: bool = True  # whether heads, channels and blocks may go
    methods: tuple[str, ...] = ()  # names of the only stages; empty: all
    only: str | None = None  # name of the format that the model must fit

    def allow(self, method: type[Method], request: StageRequest) -> bool:
        """Return whether a stage may be in a chain."""
        return (
            (not self.methods or method.name in self.methods)
            and (self.structured or method.family != "structured")
            and (self.training or method_of(request).data_requirement != "training")
        )

    def allow_all(self, chain: Iterable[StageRequest]) -> bool:
        """Return whether every stage may be in a chain."""
        return all(self.allow(get_stage(one.name), one) for one in chain)


class Files(NamedTuple):
    """The files of a model's variants in a format, each in the type that loses least."""

    form: Format
    source: ModelSource

    def bytes_of(self, variant: Variant | VariantSpec, counted: Counted) -> float:
        """Return the bytes of a variant as a file."""
        return self.form.size(variant, self.source, counted, self.form.default(variant))

    def sizes(self, blocks: Sequence[Part], tables: Sequence[Part]) -> np.ndarray:
        """Return the bytes of each chain of two parts as a file, (blocks, tables)."""
        variants = [[self._variant(part) for part in side] for side in (blocks, tables)]
        rows: dict[str, np.ndarray] = {}  # what the parts of the tables add in a type
        sizes = []
        for variant, part in zip(variants[0], blocks, strict=True):
            kind = self.form.default(variant)
            if kind not in rows:
                each = zip(variants[1], tables, strict=True)
                found = np.array([self.form.size(one, self.source, table.size, kind) for one, table in each])
                rows[kind] = found - found[0]
            sizes.append(self.form.size(variant, self.source, part.size, kind) + rows[kind])
        return np.array(sizes)

    def _variant(self, part: Part) -> VariantSpec:
        stages = part.stages or (Stage(method=DENSE),)
        return VariantSpec(model=self.source.id, revision=self.source.revision, stages=stages)


class Part(NamedTuple):
    """Stages on the same weights, with the size of a model after them alone."""

    chain: str  # empty without stages
    stages: tuple[Stage, ...]
    size: Size


class Candidate(NamedTuple):
    """A chain of a space, by the places of its parts."""

    blocks: int
    tables: int


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
    stored: Iterable[str] = (),
    files: Files | None = None,
) -> Space:
    """Return the legal chains of a model whose size follows from what their methods declare.

    Args:
        shape: The model's shape.
        defaults: Data and seed of the stages.
        restrictions: What the user allows.
        fits: Raises `UserError` for stages in a right order that the model still cannot have.
        stored: Chains with results, whose parts join those that the methods declare.
        files: The files whose sizes count; None: the packed sizes count.
    """
    for name in restrictions.methods:
        get_stage(name)
    chains = [chain for chain in map(parse, stored) if restrictions.allow_all(chain)]
    allowed = [halves(chain) for chain in chains]
    in_blocks, in_tables = (
        [with_groups(chain, shape) for chain in side(restrictions)] for side in (block_chains, table_chains)
    )
    blocks = _parts((*in_blocks, *(first for first, _ in allowed)), shape, defaults, fits)
    tables = _parts((*in_tables, *(second for _, second in allowed)), shape, defaults, fits)
    return Space(blocks, tables, fits, files)


def halves(chain: tuple[StageRequest, ...]) -> tuple[tuple[StageRequest, ...], tuple[StageRequest, ...]]:
    """Return the stages of a chain before its last one on the embedding, and that one; either may be empty."""
    last = 1 if chain and method_of(chain[-1]).modifies == TABLES else 0
    return chain[: len(chain) - last], chain[len(chain) - last :]


def searched_methods() -> tuple[type[Method], ...]:
    """Return the methods of the weights, whose stages a search may combine."""
    return (*_of_weights(), *PREPARATIONS, *RECONSTRUCTIONS, *RECOVERIES)


def _of_weights() -> tuple[type[Method], ...]:
    return tuple(method for method in METHODS if method.family not in NOT_FOR_WEIGHTS)


def block_chains(restrictions: Restrictions) -> Iterator[tuple[StageRequest, ...]]:
    """Yield the requested chains in the blocks, in the orders that papers found best: prune, repair, round."""
    in_blocks = [one for one in _options(_of_weights(), restrictions) if method_of(one).modifies != TABLES]
    pruning = [one for one in in_blocks if get_stage(one.name).ratio_kind in COUNTED]
    rounding = [one for one in in_blocks if get_stage(one.name).ratio_kind == "bits"]
    repairs = list(_options((*RECONSTRUCTIONS, *RECOVERIES), restrictions))
    plain = [one for one in rounding if not one.settings and isinstance(one.amount, Bits) and one.amount.bits % 1 == 0]
    recoveries = [one for one in repairs if get_stage(one.name) in RECOVERIES]
    yield ()
    for prune in pruning:
        yield (prune,)
        yield from ((prune, one) for one in (*repairs, *rounding))
        yield from ((prune, recovery, one) for recovery in recoveries for one in plain)
    for grid in rounding:
        yield (grid,)
        yield from ((preparation, grid) for preparation in _options(PREPARATIONS, restrictions))
        yield from ((grid, repair) for repair in repairs)


def table_chains(restrictions: Restrictions) -> Iterator[tuple[StageRequest, ...]]:
    """Yield the requested chains on the embedding and head."""
    yield ()
    yield from ((one,) for one in _options(_of_weights(), restrictions) if method_of(one).modifies == TABLES)


def with_groups(chain: tuple[StageRequest, ...], shape: ModelShape) -> tuple[StageRequest, ...]:
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
                if restrictions.allow(method, request):
                    yield request


def _parts(
    chains: Iterable[tuple[StageRequest, ...]],
    shape: ModelShape,
    defaults: ChainDefaults,
    fits: Fits,
) -> tuple[Part, ...]:
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
