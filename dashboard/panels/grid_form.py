"""The form of a grid: chains x amounts x seeds, expanded as a sweep of the command line is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.chain import StageRequest, parse
from core.errors import UserError, echo
from core.methods.terms import Reads
from core.registry import get_stage
from core.request.resolve import check_seed, data_requirement_of, seeded
from core.request.stages import check_ratio
from core.request.sweeps import Amount, parse_amount
from core.specs import WHOLE
from dashboard.panels.binding import HELD
from dashboard.panels.card import PATTERNS
from dashboard.panels.form_errors import FormErrors

CHAINS, AMOUNTS, SEEDS = "run_chains", "run_amounts", "run_seeds"  # keys
PREFILLED = "run_chains_prefilled"  # what the form put into its chains by itself
RATIOS = tuple(f"{place / 10:g}" for place in range(1, 10))
FIRST_AMOUNTS = ["0.3", "0.5", "0.7"]
MOST_RUNS = 200  # that one grid queues


class Series(NamedTuple):
    """What a grid is made of."""

    chains: tuple[str, ...]
    amounts: tuple[Amount, ...]
    stages: tuple[StageRequest, ...]  # of all chains that can be read
    box: DeltaGenerator  # where to say what is wrong with the chains

    @property
    def reads(self) -> set[Reads]:
        """What texts are read by stages that name none of their own."""
        return {_reads(stage) for stage in self.stages if stage.text is None}

    @property
    def uses_seed(self) -> bool:
        """Whether a stage draws anything by the seeds of the grid."""
        return any(stage.seed is None and _seeded(stage) for stage in self.stages)


def opened(chain: str) -> str:
    """Return a written chain with its last amount left open; one without any, or that cannot be read, as it is."""
    try:
        stages = parse(chain)
    except UserError:
        return chain
    last = next((stage for stage in reversed(stages) if stage.ratio is not None or stage.pattern), None)
    if last is None:
        return chain
    place = last.amount_place
    return chain[:place] + re.sub(r"^[^+,\s]*", "", chain[place:])


def prefill(present: str) -> None:
    """Put the chain of the form of one run into that of the grid, unless something else was entered there."""
    state = st.session_state
    if state.get(CHAINS, "") in ("", state.get(PREFILLED)):
        state[CHAINS] = state[PREFILLED] = opened(present)


def series_input(present: str, mistakes: FormErrors) -> Series:
    """Ask for chains and amounts; `present` is the chain of the form of one run."""
    usual = opened(present)
    text = st.text_area(
        "Chains, one a line",
        key=CHAINS,
        placeholder=usual,
        height=100,
        help="As the command line has them. An amount left open, as in `wanda@+adaprune`, is filled with each of the "
        f"amounts below. Empty is the chain of the form of one run, `{usual}`.",
        **HELD,
    )
    chains = tuple(dict.fromkeys(line.strip() for line in (text or usual).splitlines() if line.strip()))
    stages: list[StageRequest] = []
    box = st.container()
    with box, mistakes.catch():
        for chain in chains:
            stages += parse(chain)
    open_ones = [stage for stage in stages if stage.open]
    amounts = _amounts(mistakes, _fixed(open_ones)) if open_ones else ()
    return Series(chains, amounts, tuple(stages), box)


def _fixed(stages: Sequence[StageRequest]) -> list[str]:
    """Return the bits a weight, and the factors, that some of the stages can be asked for."""
    methods = [get_stage(stage.name) for stage in stages]
    bits = sorted({bits for method in methods for bits in method.bit_choices})
    factors = sorted({factor for method in methods for factor in method.factor_choices})
    return [*(f"{one}bit" for one in bits), *(f"{one:g}x" for one in factors)]


def _amounts(mistakes: FormErrors, fixed: list[str]) -> tuple[Amount, ...]:
    chosen = st.multiselect(
        "Amounts",
        [*RATIOS, *PATTERNS, *fixed],
        default=FIRST_AMOUNTS,
        key=AMOUNTS,
        accept_new_options=True,
        help="Shares of the block weights that are gone, such as 0.35, N:M patterns, such as 2:4, of what rounds them "
        "bits a weight, such as 4bit, or of what makes the embedding smaller factors, such as 2x.",
        **HELD,
    )
    with mistakes.catch():
        if not chosen:
            raise UserError("Choose at least one amount, such as 0.5 or 2:4: a chain leaves its amount open.")
        amounts = tuple(parse_amount(text.strip()) for text in chosen)
        for ratio, _ in amounts:
            check_ratio(ratio or 0.0)
        return amounts
    return ()


def seeds_input(mistakes: FormErrors) -> tuple[int, ...]:
    """Ask for the seeds of a grid."""
    chosen = st.multiselect(
        "Seeds",
        [str(seed) for seed in range(5)],
        default=["0"],
        key=SEEDS,
        accept_new_options=True,
        help="Each draws its own text, and what training draws; what draws nothing runs once.",
        **HELD,
    )
    with mistakes.catch():
        if not chosen:
            raise UserError("Choose at least one seed, such as 0.")
        return tuple(map(_seed, chosen))
    return ()


def _seed(text: str) -> int:
    if not re.fullmatch(WHOLE, text.strip()):
        raise UserError(f"Seed {echo(text)} is no whole number, such as 0, 1 or 2, of at most nine digits.")
    return check_seed(int(text))


def several(names: Sequence[str]) -> str:
    """Return the first of some names and how many follow."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _seeded(stage: StageRequest) -> bool:
    try:
        return seeded(stage)
    except UserError:  # as in `_reads`
        return False


def _reads(stage: StageRequest) -> Reads:
    try:
        return data_requirement_of(stage)
    except UserError:  # its parameters do not fit together, as is said once they are put to the model
        return "nothing"
