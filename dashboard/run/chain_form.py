"""The form of a chain: its text and a card for each stage, which update each other.

The session stores the ids of the cards in order, and each field under a key with its card's id. A field therefore moves
with its card. The text is written from the cards; a typed text, or one from the address, is parsed into the cards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import ChainError, UserError
from core.methods.terms import Reads
from core.notation.chain import DENSE, parse
from core.registry import RECONSTRUCTIONS, RECOVERIES, STAGES, get_stage
from core.specs import Scalar
from dashboard.run import card as cards
from dashboard.run.grid_form import PROPOSED, unmeasured
from dashboard.shared.binding import KEPT
from dashboard.shared.links import CHAIN
from dashboard.shared.widgets import icon_button

WRITTEN = "run_chain_written"  # number of rewrites of the text; each rewrite has its own field
SHOWN = "run_chain_shown"  # last value of that field
CARDS = "run_cards"  # ids in order
BUILT = "run_cards_made"  # number of cards ever built: the next id
WRONG = "run_chain_wrong"  # (typed text, its error); absent if the text matches the cards
FIRST = "wanda"  # the method of a new form


class Chain(NamedTuple):
    """The chain in the form."""

    text: str
    readable: bool  # whether the typed text matches the cards
    parts: Sequence[cards.Part]
    boxes: Sequence[DeltaGenerator]  # the containers of the cards

    @property
    def reads(self) -> set[Reads]:
        """The data requirements of stages without an own text."""
        return {part.reads for part in self.parts if not part.own_text}

    @property
    def uses_seed(self) -> bool:
        """Whether a stage depends on the seed of all stages."""
        return any((part.reads != "nothing" or part.method.draws) and not part.own_seed for part in self.parts)

    def blame(self, error: UserError) -> int | None:
        """Show an error on the card of its stage and return the stage's index, or None if it names no stage."""
        if not isinstance(error, ChainError):
            return None
        ends = [sum(len(part.text) + 1 for part in self.parts[: count + 1]) for count in range(len(self.parts))]
        found = next((count for count, end in enumerate(ends) if error.position < end), len(ends) - 1)
        self.boxes[found].error(error.message)
        return found


def chain_input() -> Chain:
    """Show the text and the cards."""
    state = st.session_state
    if CARDS not in state:
        linked = st.query_params.get(CHAIN)
        read(first_chain())
        if linked is not None:
            read(linked)
    top = st.container()
    ids = state[CARDS]
    shown = [_card(place, ids) for place in range(len(ids))]
    parts, boxes = [part for part, _ in shown], [box for _, box in shown]
    alone = parts[0].method.name == DENSE
    st.button(
        "Add a stage",
        key="run_add",
        icon=":material/add:",
        disabled=alone,
        help="Dense allows no other stage." if alone else "Runs on the previous stage's output.",
        on_click=_add,
    )
    text = "+".join(part.text for part in parts)
    with top:
        _text(text)
    return Chain(text, WRONG not in state, parts, boxes)


def first_chain() -> str:
    """Return a fast chain, if possible without stored results, at a ratio near the default one."""
    return f"{FIRST}@{next(iter(unmeasured(f'{FIRST}@', PROPOSED)), PROPOSED[0])}"


def present_chain() -> str:
    """Return the chain of the form, even if the form is hidden."""
    return st.query_params.get(CHAIN) or first_chain()


def read(text: str) -> None:
    """Parse a text into the cards; on an error, leave the cards unchanged and store the message."""
    state = st.session_state
    try:
        stages = parse(text)
        ids = list(state.get(CARDS, ()))[: len(stages)]
        built = state.get(BUILT, 0)
        ids += range(built, built + len(stages) - len(ids))
        fields: dict[str, Scalar] = {}
        first = True
        for card, stage in zip(ids, stages, strict=True):
            fields |= cards.fill(card, stage, first)
            first = first and not get_stage(stage.name).takes_amount
    except UserError as error:
        message = f"Character {error.position + 1}: {error.message}" if isinstance(error, ChainError) else str(error)
        state[WRONG] = text, message
        return
    state.pop(WRONG, None)
    state[CARDS], state[BUILT] = ids, max(built, *(card + 1 for card in ids))
    for key, value in fields.items():
        state[key] = value


def _text(text: str) -> None:
    """Show the chain text: the one of the cards, or a typed text with an error.

    Each rewrite uses a new field. Otherwise a browser that has not received the rewrite would send the previous text
    with the next click. That text would be parsed as typed and undo the change of a card.
    """
    state = st.session_state
    wanted, wrong = state.get(WRONG, (text, None))
    if state.get(_field(), wanted) != wanted:
        state[WRITTEN] = state.get(WRITTEN, 0) + 1
    state[SHOWN] = wanted
    st.text_input(
        "Chain of stages",
        wanted,  # as default: a browser that has the field, but no value yet, would send an empty text as typed
        key=_field(),
        on_change=_typed,
        args=(_field(),),
        help="Stages from left to right in the notation of the command line: "
        "`magnitude@0.5+lora,minutes=5` prunes half of the weights, then fine-tunes for five minutes.",
    )
    if st.query_params.get(CHAIN) != wanted:
        st.query_params[CHAIN] = wanted
    if wrong:
        st.error(wrong)
        st.button("Restore the chain of the cards", key="run_rewrite", on_click=state.pop, args=(WRONG,))


def _field() -> str:
    """Return the key of the text's field."""
    return f"run_chain_{st.session_state.get(WRITTEN, 0)}"


def _typed(field: str) -> None:
    """Parse a typed text; ignore a value that the browser merely repeats, from this field or an earlier one."""
    state = st.session_state
    if field == _field() and state[field] != state[SHOWN]:
        read(state[field])


def _card(place: int, ids: Sequence[int]) -> tuple[cards.Part, DeltaGenerator]:
    """Show the card of a stage; return the stage and the container for its errors."""
    card, several = ids[place], len(ids) > 1
    removed = any(cards.method_of(one).takes_amount for one in ids[:place])
    box = st.container(border=True, key=cards.key(card, "box"))
    with box:
        with st.container(horizontal=True, vertical_alignment="bottom", wrap=False):
            st.selectbox(
                f"Stage {place + 1}",
                [method.name for method in STAGES if method.name != DENSE or not several],
                format_func=cards.described,
                key=cards.key(card, "method"),
                **KEPT,
            )
            if several:
                up, down, remove = (cards.key(card, label) for label in ("Move up", "Move down", "Remove"))
                icon_button("Move up", "arrow_upward", up, place == 0, _move, (place, place - 1))
                icon_button("Move down", "arrow_downward", down, place == len(ids) - 1, _move, (place, place + 1))
                icon_button("Remove", "close", remove, False, st.session_state[CARDS].pop, (place,))
        return cards.show_fields(card, not removed, not several), box


def _move(place: int, to: int) -> None:
    ids = st.session_state[CARDS]
    ids[place], ids[to] = ids[to], ids[place]


def _add() -> None:
    """Add the usual next stage: a reconstruction after unstructured pruning, otherwise a recovery."""
    state = st.session_state
    masked = cards.method_of(state[CARDS][-1]).family == "unstructured"
    state[cards.key(state[BUILT], "method")] = (RECONSTRUCTIONS if masked else RECOVERIES)[0].name
    state[CARDS].append(state[BUILT])
    state[BUILT] += 1
