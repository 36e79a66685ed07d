"""The form of a chain: its text, and a card for each of its stages. Each is rewritten when the other is edited.

The session holds the ids of the cards in their order, and what is entered under keys with the id, so that it moves with
its card. The text is written from the cards; a text that is typed, or that the address has, is read into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.chain import DENSE, parse, plain
from core.errors import ChainError, UserError
from core.methods.terms import Reads
from core.registry import RECONSTRUCTIONS, RECOVERIES, STAGES, get_stage
from core.request.baseline import keys_of, remaining_run
from core.request.complete import complete
from core.request.stages import DEFAULT_MODEL, DEFAULT_RATIO
from dashboard import data
from dashboard.panels import card as cards
from dashboard.panels.binding import KEPT

CHAIN = "chain"  # name of the text in the address
WRITTEN = "run_chain_written"  # how often the text was written anew, each time into a field of its own
SHOWN = "run_chain_shown"  # what that field held last
CARDS = "run_cards"  # ids in their order
BUILT = "run_cards_made"  # how many there ever were: the next id
WRONG = "run_chain_wrong"  # (text, what is wrong with it) of one that is typed; absent where it is that of the cards
FIRST, FIRST_AT = "wanda", tuple(place / 20 for place in range(1, 20))  # what a form that nobody filled in proposes


class Chain(NamedTuple):
    """What the form asks for."""

    text: str
    readable: bool  # whether the text that is typed is that of the cards
    parts: Sequence[cards.Part]
    boxes: Sequence[DeltaGenerator]  # of the cards

    @property
    def reads(self) -> set[Reads]:
        """What texts are read by stages that name none of their own."""
        return {part.reads for part in self.parts if not part.own_text}

    @property
    def uses_seed(self) -> bool:
        """Whether a stage draws anything by the seed that is given for all."""
        return any((part.reads != "nothing" or part.method.draws) and not part.own_seed for part in self.parts)

    def blame(self, error: UserError) -> int | None:
        """Show an error at the card of the stage that it names; return the stage's place, None where it names none."""
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
        asked = st.query_params.get(CHAIN)
        read(first_chain())
        if asked is not None:
            read(asked)
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
        help="Dense is the model as it is and stands alone." if alone else "It is applied to what the last one leaves.",
        on_click=_add,
    )
    text = "+".join(part.text for part in parts)
    with top:
        _text(text)
    return Chain(text, WRONG not in state, parts, boxes)


def first_chain() -> str:
    """Return a chain that is quick to make and was not measured yet, at a ratio near the default one."""
    chains = [f"{FIRST}@{plain(at)}" for at in sorted(FIRST_AT, key=lambda at: abs(at - DEFAULT_RATIO))]
    specs = {chain: complete(DEFAULT_MODEL, chain) for chain in chains}
    stored = data.results(keys_of(specs.values()))
    return next((chain for chain, spec in specs.items() if remaining_run(spec, stored)), chains[0])


def present_chain() -> str:
    """Return the chain of the form, also where it is not shown."""
    return st.query_params.get(CHAIN) or first_chain()


def read(text: str) -> None:
    """Read a text into the cards; where it cannot be read they stay as they are and the sentence is kept."""
    state = st.session_state
    try:
        stages = parse(text)
        ids = list(state.get(CARDS, ()))[: len(stages)]
        made = state.get(BUILT, 0)
        ids += range(made, made + len(stages) - len(ids))
        fields: dict[str, Any] = {}
        first = True
        for card, stage in zip(ids, stages, strict=True):
            fields |= cards.fill(card, stage, first)
            first = first and not get_stage(stage.name).takes_amount
    except UserError as error:
        message = f"Character {error.position + 1}: {error.message}" if isinstance(error, ChainError) else str(error)
        state[WRONG] = text, message
        return
    state.pop(WRONG, None)
    state[CARDS], state[BUILT] = ids, max(made, *(card + 1 for card in ids))
    for key, value in fields.items():
        state[key] = value


def _text(text: str) -> None:
    """Show the written chain: that of the cards, or what was typed and cannot be read.

    A field that is written anew is another one: a browser that has not heard of that yet would send the text of before
    along with the next click, which would be read as if it was typed and undo what was entered in a card.
    """
    state = st.session_state
    wanted, wrong = state.get(WRONG, (text, None))
    if state.get(_field(), wanted) != wanted:
        state[WRITTEN] = state.get(WRITTEN, 0) + 1
    state.setdefault(_field(), wanted)
    state[SHOWN] = wanted
    st.text_input(
        "Chain of stages",
        key=_field(),
        on_change=_typed,
        args=(_field(),),
        help="What is done to the model, from left to right, as the command line has it: "
        "`magnitude@0.5+lora,minutes=5` removes half the weights, then trains for five minutes. "
        "Edit it or the cards below; each follows the other.",
    )
    if st.query_params.get(CHAIN) != wanted:
        st.query_params[CHAIN] = wanted
    if wrong:
        st.error(wrong)
        st.button("Write the chain of the cards again", key="run_rewrite", on_click=state.pop, args=(WRONG,))


def _field() -> str:
    """Return the key of the text's field."""
    return f"run_chain_{st.session_state.get(WRITTEN, 0)}"


def _typed(field: str) -> None:
    """Read what was typed; what a browser only repeats, of this field or one of before, was not."""
    state = st.session_state
    if field == _field() and state[field] != state[SHOWN]:
        read(state[field])


def _card(place: int, ids: Sequence[int]) -> tuple[cards.Part, DeltaGenerator]:
    """Show the card of a stage; return what it asks for, and where to say what is wrong with it."""
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
                _button("Move up", "arrow_upward", card, place == 0, _move, (place, place - 1))
                _button("Move down", "arrow_downward", card, place == len(ids) - 1, _move, (place, place + 1))
                _button("Remove", "close", card, False, _remove, (place,))
        return cards.show_fields(card, not removed, not several), box


def _button(label: str, icon: str, card: int, disabled: bool, act, args: tuple[int, ...]) -> None:
    st.button(
        "",
        key=cards.key(card, label),
        icon=f":material/{icon}:",
        type="tertiary",
        help=label,
        disabled=disabled,
        on_click=act,
        args=args,
    )


def _move(place: int, to: int) -> None:
    ids = st.session_state[CARDS]
    ids[place], ids[to] = ids[to], ids[place]


def _remove(place: int) -> None:
    del st.session_state[CARDS][place]


def _add() -> None:
    """Add what usually follows the last stage: after a mask a reconstruction, else training."""
    state = st.session_state
    masked = cards.method_of(state[CARDS][-1]).family == "unstructured"
    state[cards.key(state[BUILT], "method")] = (RECONSTRUCTIONS if masked else RECOVERIES)[0].name
    state[CARDS].append(state[BUILT])
    state[BUILT] += 1
