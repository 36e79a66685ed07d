"""The form of a grid: chains x amounts x seeds, expanded like a sweep, and the amounts that it proposes."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.amount import Amount, Bits, Factor, Ratio
from core.base.errors import UserError
from core.methods.base import Method
from core.methods.terms import Reads
from core.notation.chain import StageRequest, parse, plain
from core.registry import get_stage
from core.request.baseline import keys_of, remaining_run
from core.request.complete import complete
from core.request.resolve import method_of, parse_seed
from core.request.stages import DEFAULT_MODEL, DEFAULT_RATIO, check_ratio
from dashboard import data
from dashboard.run.card import PATTERNS
from dashboard.shared.binding import HELD, multiselect
from dashboard.shared.job_form import FormErrors

# Every twentieth, those near the default ratio first.
PROPOSED = tuple(map(plain, sorted((place / 20 for place in range(1, 20)), key=lambda at: abs(at - DEFAULT_RATIO))))
SPREAD = ("0.3", "0.5", "0.7")  # first ratios of a grid
ONE, GRID = "One run", "Grid"
MODE, CHAINS, AMOUNTS, SEEDS = "run_mode", "run_chains", "run_amounts", "run_seeds"  # keys
PREFILLED = "run_chains_prefilled"  # chains that the form itself entered
RATIOS = tuple(f"{place / 10:g}" for place in range(1, 10))
MOST_RUNS = 200  # of one grid


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
    amounts = [str(amount) for amount in (*bits, *factors)] or [*dict.fromkeys((*SPREAD, *PROPOSED))]
    chosen = (unmeasured(chain, amounts) or amounts)[: len(SPREAD)]
    return sorted(chosen, key=amounts.index if amounts[0] != SPREAD[0] else float)


class Series(NamedTuple):
    """The chains and amounts of a grid."""

    chains: tuple[str, ...]
    amounts: tuple[Amount, ...]
    stages: tuple[StageRequest, ...]  # of all valid chains
    box: DeltaGenerator  # container for errors of the chains

    def _methods(self) -> Iterator[tuple[StageRequest, Method]]:
        """Yield the stages with valid parameters; the resolution of the chain reports the others."""
        for stage in self.stages:
            with suppress(UserError):
                yield stage, method_of(stage)

    @property
    def reads(self) -> set[Reads]:
        """The data requirements of stages without an own text."""
        return {method.data_requirement for stage, method in self._methods() if stage.text is None}

    @property
    def uses_seed(self) -> bool:
        """Whether a stage depends on the seeds of the grid."""
        return any(stage.seed is None and method.seeded for stage, method in self._methods())


def opened(chain: str) -> str:
    """Return a chain with its last amount removed; unchanged if it has none or is invalid."""
    try:
        stages = parse(chain)
    except UserError:
        return chain
    last = next((stage for stage in reversed(stages) if stage.amount), None)
    if last is None:
        return chain
    place = last.amount_place
    return chain[:place] + re.sub(r"^[^+,\s]*", "", chain[place:])


def prefill(present: str) -> None:
    """Copy the chain of the single run into the grid's field, unless the user entered another."""
    state = st.session_state
    if state.get(CHAINS, "") in ("", state.get(PREFILLED)):
        state[CHAINS] = state[PREFILLED] = opened(present)


def fill(chains: Sequence[str]) -> None:
    """Open the grid with these chains."""
    st.session_state[MODE] = GRID
    st.session_state[CHAINS] = "\n".join(chains)


def series_input(present: str, mistakes: FormErrors) -> Series:
    """Show the fields of chains and amounts; `present` is the chain of the single run."""
    usual = opened(present)
    text = st.text_area(
        "Chains, one per line",
        key=CHAINS,
        placeholder=usual,
        height=100,
        help="Chains in the notation of the command line; an open amount, as in `wanda@+adaprune`, takes each amount "
        f"below, and an empty field means `{usual}`.",
        **HELD,
    )
    chains = tuple(dict.fromkeys(line.strip() for line in (text or usual).splitlines() if line.strip()))
    stages: list[StageRequest] = []
    box = st.container()
    with box, mistakes.catch():
        for chain in chains:
            stages += parse(chain)
    methods = [get_stage(stage.name) for stage in stages if stage.open]
    bits = sorted({bits for method in methods for bits in method.bit_choices})
    factors = sorted({factor for method in methods for factor in method.factor_choices})
    fixed = [str(amount) for amount in (*map(Bits, bits), *map(Factor, factors))]
    amounts = _amounts(usual, mistakes, fixed) if methods else ()
    return Series(chains, amounts, tuple(stages), box)


def _amounts(usual: str, mistakes: FormErrors, fixed: list[str]) -> tuple[Amount, ...]:
    first = st.session_state[AMOUNTS] if AMOUNTS in st.session_state else grid_amounts(usual)
    chosen = multiselect(
        "Amounts",
        list(dict.fromkeys([*RATIOS, *PATTERNS, *fixed, *first])),
        default=None if AMOUNTS in st.session_state else first,
        key=AMOUNTS,
        accept_new_options=True,
        help="Pruning ratio (0.35), N:M (2:4), bits per weight (4bit) or factor (2x).",
        **HELD,
    )
    with mistakes.catch():
        if not chosen:
            raise UserError("A chain has an open amount; choose at least one amount, such as 0.5 or 2:4.")
        amounts = tuple(Amount.parse(text.strip()) for text in chosen)
        for amount in amounts:
            if isinstance(amount, Ratio):
                check_ratio(amount.value)
        return amounts
    return ()


def seeds_input(mistakes: FormErrors) -> tuple[int, ...]:
    """Show the field of the grid's seeds."""
    seeds, help = [str(seed) for seed in range(5)], "Each seed resamples the data; deterministic methods run once."
    chosen = multiselect("Seeds", seeds, default=["0"], key=SEEDS, accept_new_options=True, help=help, **HELD)
    with mistakes.catch():
        if not chosen:
            raise UserError("The grid has no seed; choose at least one, such as 0.")
        return tuple(map(parse_seed, chosen))
    return ()


def several(names: Sequence[str]) -> str:
    """Return the first name and the number of the others."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
