"""The card of one stage: which method, how much it removes, its parameters, and what they are as part of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from core.chain import StageRequest, plain, quoted
from core.errors import UserError
from core.formatting import format_amount
from core.methods.base import Method
from core.methods.terms import Reads
from core.registry import get_stage
from core.request.resolve import data_requirement_of
from core.request.stages import DEFAULT_BITS, DEFAULT_FACTOR, DEFAULT_RATIO
from dashboard.panels import forms, texts
from dashboard.panels.binding import KEPT

PATTERNS = ("2:4", "4:8")
DOES = {  # each family in the words of a newcomer
    "dense": "the model as it is",
    "unstructured": "removes weights",
    "structured": "removes units",
    "low rank": "lowers the rank",
    "convolution": "splits convolutions",
    "quantisation": "rounds weights",
    "embedding": "factors the embedding",
    "reconstruction": "reconstructs",
    "recovery": "trains",
}
MOST_SEED = 999_999_999  # as a chain writes it


class Part(NamedTuple):
    """A stage as its card asks for it."""

    method: type[Method]
    text: str  # as the chain has it
    reads: Reads
    own_text: bool
    own_seed: bool


def key(card: int, field: str) -> str:
    return f"run_card{card}_{field}"


def method_of(card: int) -> type[Method]:
    return get_stage(st.session_state[key(card, "method")])


def described(name: str) -> str:
    """Return a method's label and what it does, in two words."""
    method = get_stage(name)
    return f"{method.label} · {DOES.get(method.family, method.family)}"


def fill(card: int, stage: StageRequest, first: bool) -> dict[str, Any]:
    """Return by key what the fields of a card are to hold; `first` is whether no stage before it removes anything.

    A `UserError` says where the form cannot hold a value.
    """
    method = get_stage(stage.name)
    ratio = DEFAULT_RATIO if first and stage.ratio is None else stage.ratio
    with stage.error_context():
        fields = forms.fill_parameters(method, key(card, "of"), stage.settings)
    own = {
        "method": stage.name,
        "kind": "pattern" if stage.pattern else "ratio",
        "ratio": ratio,
        "pattern": stage.pattern or PATTERNS[0],
        "bits": stage.pattern if method.bit_choices and stage.pattern else DEFAULT_BITS,
        "factor": stage.pattern if method.factor_choices and stage.pattern else DEFAULT_FACTOR,
        "layers": stage.layers or "",
        "text": str(stage.text) if stage.text else "",
        "seed": stage.seed,
    }
    return fields | {key(card, field): value for field, value in own.items()}


def show_fields(card: int, first: bool, only: bool) -> Part:
    """Show what a card asks for below its method; `only` is whether the chain has no other stage."""
    method = method_of(card)
    st.caption(f"{method.summary}{cited(method)}")
    asked = _amount(card, method, first)
    given, reads = _parameters(card, method, only)
    text = method.name + asked + "".join(f",{name}={quoted(value)}" for name, value in given.items())
    return Part(method, text, reads, "text" in given, "seed" in given)


def cited(method: type[Method]) -> str:
    """Return the source to follow a method's summary; empty where there is none."""
    source = method.citation
    return f" [{source.authors}, {source.year}]({source.url})." if source else ""


def _amount(card: int, method: type[Method], first: bool) -> str:
    """Ask how much is to be gone after the stage: a ratio, or a pattern, bits or a factor where the method has them."""
    if not method.takes_amount:
        return ""
    if method.bit_choices:
        st.session_state.setdefault(key(card, "bits"), DEFAULT_BITS)
        offered = [f"{bits}bit" for bits in method.bit_choices]
        asked = st.session_state[key(card, "bits")]
        told = " A mean between, such as 3.5bit, can be typed into the chain." if method.mixed_precision else ""
        bits = st.segmented_control(
            "Bits a weight",
            offered if asked in offered or not method.mixed_precision else [*offered, asked],
            required=True,
            key=key(card, "bits"),
            **KEPT,
            format_func=lambda bits: format_amount(None, bits),
            help=f"Of the linear layers inside the blocks, without the scales that groups of inputs share.{told}",
        )
        return f"@{bits}"
    if method.factor_choices:
        st.session_state.setdefault(key(card, "factor"), DEFAULT_FACTOR)
        factor = st.selectbox(
            "Times smaller",
            [f"{factor:g}x" for factor in method.factor_choices],
            key=key(card, "factor"),
            accept_new_options=True,
            **KEPT,
            help="Of the table of embeddings alone. Another factor above 1 may be typed, such as 2.5x.",
        )
        return "@" + quoted(factor)
    with st.container(horizontal=True):
        kind: str | None = "ratio"
        if method.supports_nm:
            st.session_state.setdefault(key(card, "kind"), kind)
            kind = st.segmented_control(
                "Remove",
                ["ratio", "pattern"],
                required=True,
                key=key(card, "kind"),
                **KEPT,
                format_func={"ratio": "a share of the weights", "pattern": "an N:M pattern"}.__getitem__,
            )
        if kind == "pattern":
            st.session_state.setdefault(key(card, "pattern"), PATTERNS[0])
            return "@" + quoted(
                st.selectbox(
                    "Pattern",
                    PATTERNS,
                    key=key(card, "pattern"),
                    accept_new_options=True,
                    **KEPT,
                    help="N:M keeps N of every M consecutive weights; 2:4 is what GPUs speed up. Another may be typed.",
                )
            )
        st.session_state.setdefault(key(card, "ratio"), DEFAULT_RATIO if first else None)
        ratio = st.number_input(
            "Share of block weights gone after it",
            0.0,
            None,
            None,
            0.05,
            "%g",
            key=key(card, "ratio"),
            **KEPT,
            placeholder="such as 0.7",
            help="Of the linear layers inside the blocks; embeddings are left alone. It counts all that is gone after "
            "this stage, with what earlier stages removed: 0.5 and then 0.7 leaves 30 % of the weights.",
        )
    return "@" if ratio is None else f"@{plain(ratio)}"


def _parameters(card: int, method: type[Method], only: bool) -> tuple[dict[str, str], Reads]:
    """Ask for parameters, layers, and a text and a seed of the stage's own; return those that are given, as text.

    Also return what the stage reads. Where a field makes no sense it is shown while it holds something, so that it can
    be emptied.
    """
    state = st.session_state
    layers, own_text, own_seed = (key(card, field) for field in ("layers", "text", "seed"))
    may_read = method().data_requirement != "nothing"
    by_layer = method.selects_layers or bool(state.get(layers))
    if not (method.Parameters.model_fields or by_layer or may_read or state.get(own_text) or state.get(own_seed)):
        return {}, "nothing"
    with st.expander("Parameters", key=key(card, "parameters")):
        given = dict(sorted(forms.parameter_inputs(method, key(card, "of")).items()))
        reads = _reads(method, given)
        if by_layer:
            given["layers"] = st.text_input(
                "Layers",
                key=layers,
                placeholder="all",
                **KEPT,
                help="First:last block such as 0:19, or a regular expression on layer names such as mlp.",
            )
        alike = reads == "nothing" or only  # with what is given for all stages, or there is none
        if not alike or state.get(own_text):
            beside = texts.selected_text(texts.TRAINING if reads == "training" else texts.CALIBRATION)
            given["text"] = st.text_input(
                "Text of this stage alone",
                key=own_text,
                placeholder=str(beside),
                **KEPT,
                help="In place of the one for all stages; CORPUS:NxL is N windows of L tokens of a corpus or file.",
            )
        if not alike or state.get(own_seed) is not None:
            state.setdefault(own_seed, None)
            seed = st.number_input(
                "Seed of this stage alone",
                0,
                MOST_SEED,
                None,
                key=own_seed,
                placeholder=str(state.get("run_seed", 0)),
                **KEPT,
                help="In place of the one for all stages.",
            )
            given["seed"] = "" if seed is None else str(seed)
    return {name: value for name, value in given.items() if value}, reads


def _reads(method: type[Method], parameters: Mapping[str, str]) -> Reads:
    """Return what text the stage reads; what its method usually does while a parameter does not fit."""
    try:
        return data_requirement_of(StageRequest(method.name, settings=parameters))
    except UserError:
        return method().data_requirement
