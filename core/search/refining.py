"""Refinement: single blocks of the best chain lose more so that others lose less, at the same size.

A level switch raises the amount of one block by a step, lowers that of another, and stays if the model's loss falls
(Sieberling et al., EvoPress: Accurate Dynamic Model Compression via Evolutionary Search, 2024, arXiv:2410.14649). Each
part is made once for each amount.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.amount import Amount, Bits, Ratio
from core.errors import UserError
from core.methods.parameters import RATIO_STEP, format_shifts
from core.models.facts import load_shape
from core.models.sources import identify_again
from core.notation.chain import StageRequest, format_chain, parse
from core.progress import Progress
from core.registry import build_method
from core.request.execution import memory_budget
from core.search.question import Prepared
from core.search.racing import RUNGS
from core.specs import BYTES, RunSpec, Stage
from core.store.store import Store

WINDOWS = RUNGS[0]  # that decide on a switch
MOST_OF_RATIO, MOST_OF_BITS = 1, 3  # steps of a block, up or down
DRAWS = 200  # of switches, before nothing new seems left
SEED = 0

Shifts = dict[int, int]  # steps by block


def refinable(stages: Sequence[Stage]) -> int | None:
    """Return the place of the last stage whose amount can differ between blocks; None without one."""
    places = [
        place
        for place, stage in enumerate(stages)
        if stage.layers is None and (method := build_method(stage)).can_shift(stage.amount) and not method.shifts
    ]
    return places[-1] if places else None


class Refiner:
    """Switches levels of one chain.

    Args:
        chain: A measured chain with a `refinable` stage.
        prepared: The question.
        store: Has the result of the chain.
        shifts: The steps to start from.
    """

    def __init__(self, chain: str, prepared: Prepared, store: Store, shifts: Shifts):
        self.prepared, self.store, self.shifts = prepared, store, shifts
        self.requests = parse(chain)
        self.base = prepared.run(chain, WINDOWS)
        place = refinable(self.base.variant.stages)
        assert place is not None
        self.place, self.stage, self.request = place, self.base.variant.stages[place], self.requests[place]
        self._most = MOST_OF_RATIO if isinstance(self.stage.amount, Ratio) else MOST_OF_BITS
        self._lost: set[str] = set()

    def levels(self) -> dict[int, RunSpec]:
        """Return the run that makes the variant of each level: steps of a ratio, or bits.

        Raises:
            UserError: A level does not exist.
        """
        amount, made = self.stage.amount, self.store.stored(self.base.variant.key)
        amounts: dict[int, Amount]
        if isinstance(amount, Ratio):
            amounts = {steps: Ratio(amount.value + RATIO_STEP * steps) for steps in (0, -1, 1)}
        else:
            reported = {report.bits for report in made.layers if report.stage == self.place and report.bits}
            amounts = {bits: Bits(bits) for bits in sorted(reported)}
        specs = {
            level: self.prepared.run(self._with(replace(self.request, amount=one)), WINDOWS)
            for level, one in amounts.items()
        }
        return {level: spec.model_copy(update={"perplexity": (), "cached": True}) for level, spec in specs.items()}

    def load(self, levels: Mapping[int, RunSpec], progress: Progress) -> None:
        """Load the variants of the levels, which are in the cache, and measure the chain.

        Raises:
            UserError: The memory of this machine does not suffice, or the cache does not.
        """
        self._check_memory(len(levels))
        from core.engine.mosaic import Mosaic, block_names, rounding_losses
        from core.engine.session import Session
        from core.engine.variants import load_cached
        from core.models.parts.blocks import find_blocks

        session = Session([self.base], progress)
        models = {}
        for level, spec in levels.items():
            cached = load_cached(spec.variant, references=False)
            if cached is None:
                raise UserError("The cache has no room for the variants of all amounts.")
            models[level] = cached[0]
        model = next(iter(models.values()))
        self.blocks = names = block_names(model)
        if not isinstance(self.stage.amount, Ratio):
            self._linears = list(find_blocks(model).all_linears())
            self._rounding = rounding_losses(self.stage, self.base.variant.prefixes[self.place].key)
            names = list(self._bits(self.shifts))
        (text,) = self.base.perplexity
        self.mosaic = Mosaic(models, names, session.scored[text].windows, session.device)
        self.known = frozenset(levels)
        self.losses = self.mosaic.losses(self._choice(self.shifts))

    def switch(self, number: int) -> bool | None:
        """Try a switch and keep it if it lowers the loss of every window; return whether, None if none is left.

        Args:
            number: The switches tried before, so that an interrupted refinement goes on.
        """
        draw, now = np.random.default_rng([SEED, number]), self._choice(self.shifts)
        for _ in range(DRAWS):
            up, down = draw.choice(len(self.blocks), 2, replace=False).tolist()
            shifts = Counter(self.shifts)
            shifts.update({up: 1, down: -1})
            choice, text = self._choice(shifts), format_shifts(shifts)
            within = max(map(abs, shifts.values())) <= self._most and self.known.issuperset(choice.values())
            if not within or choice == now or text in self._lost:
                continue
            losses = self.mosaic.losses(choice)
            if (losses < self.losses).all():
                self.shifts, self.losses = dict(shifts), losses
                self._lost.clear()
                return True
            self._lost.add(text)
            return False
        return None

    def chain(self, shifts: Shifts) -> str:
        """Return the chain with some steps."""
        return format_chain(self.prepared.run(self._shifted(shifts), WINDOWS).variant.stages)

    def _choice(self, shifts: Shifts) -> dict[str, int]:
        """Return the level of each part."""
        if isinstance(self.stage.amount, Ratio):
            return {name: shifts.get(block, 0) for block, name in enumerate(self.blocks)}
        return self._bits(shifts)

    def _bits(self, shifts: Shifts) -> dict[str, int]:
        from core.engine.mosaic import planned_bits

        parameters = {**self.stage.parameters, "shifts": format_shifts(shifts) or None}
        stage = self.stage.model_copy(update={"parameters": parameters})
        return planned_bits(self._linears, stage, self._rounding)

    def _shifted(self, shifts: Shifts) -> tuple[StageRequest, ...]:
        text = format_shifts(shifts)
        settings = {**self.request.settings, "shifts": text}
        return self._with(replace(self.request, settings=settings)) if text else self.requests

    def _with(self, one: StageRequest) -> tuple[StageRequest, ...]:
        """Return the chain with another stage at its place."""
        return (*self.requests[: self.place], one, *self.requests[self.place + 1 :])

    def _check_memory(self, count: int) -> None:
        shape = load_shape(identify_again(self.base.variant.model, self.base.variant.revision))
        needed, budget = count * shape.parameters * BYTES[self.base.variant.dtype], memory_budget(None)
        if needed > budget:
            sizes = (f"{size / 1e9:.1f} GB" for size in (needed, budget))
            raise UserError("{} copies of the model need {} of memory, and {} are free.".format(count, *sizes))
