"""The card of one stage: its method, amount and the fields of its parameters, and their notation in a chain."""

from collections.abc import Mapping
from typing import NamedTuple

import streamlit as st
from pydantic.fields import FieldInfo
from streamlit.delta_generator import DeltaGenerator

from core.amount import Amount, Bits, Factor, Pattern, Ratio
from core.base.errors import UserError
from core.methods.base import Method
from core.methods.fields import AUTO, bounds, choices, goes_with, type_of
from core.methods.terms import Reads
from core.notation.chain import StageRequest, plain, quoted, takes_mean
from core.registry import get_stage
from core.request.stages import DEFAULT_BITS, DEFAULT_FACTOR, DEFAULT_RATIO
from core.specs import Scalar
from dashboard.shared import job_form
from dashboard.shared.binding import KEPT

ENDS = ((">=", ">"), ("<=", "<"))
LARGEST = 2**53 - 1  # largest integer that browsers represent exactly
PATTERNS = ("2:4", "4:8")
DOES = {  # the effect of each family, for newcomers
    "dense": "uncompressed baseline",
    "unstructured": "removes weights",
    "structured": "removes units",
    "low rank": "lowers the rank",
    "quantisation": "rounds weights",
    "embedding": "factors the embedding",
    "reconstruction": "re-solves weights",
    "recovery": "fine-tunes",
}
MOST_SEED = 999_999_999  # nine digits, the limit of the chain notation


def parameter_inputs(method: type[Method], prefix: str) -> dict[str, str]:
    """Show an input for each declared parameter; return the changed ones in chain notation.

    The keys of the inputs begin with `prefix` and the method's name.
    """
    changed = {}
    row: list[DeltaGenerator] = []  # empty columns
    for name, field in method.Parameters.model_fields.items():
        other = goes_with(field)
        if other and st.session_state.get(_key(prefix, method, other)) in (
            None,
            method.Parameters.model_fields[other].default,
        ):
            continue
        row = row or list(st.columns(2, vertical_alignment="bottom"))
        with row.pop(0):
            value = _input(_key(prefix, method, name), name, field)
        if value is not None and value != field.default:
            changed[name] = plain(value)
    return changed


def fill_parameters(method: type[Method], prefix: str, settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the values of the inputs by key.

    Raises:
        UserError: A number exceeds the range of the inputs.
    """
    values = method.parse_parameters(settings).model_dump()
    for name, value in values.items():
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise UserError(f"{method.label}: {name} = {value} exceeds this form's maximum, {LARGEST}.")
    return {_key(prefix, method, name): value for name, value in values.items()}


def _key(prefix: str, method: type[Method], name: str) -> str:
    return f"{prefix}_{method.name}_{name}"


def _input(key: str, name: str, field: FieldInfo) -> Scalar:
    """Show the input of a parameter and return its value; None leaves it to the method.

    The session holds the initial value, because a typed chain later sets it there too.
    """
    st.session_state.setdefault(key, field.default)
    label, kind = field.title or name.replace("_", " ").capitalize(), type_of(field)
    help = f"`{name}`: {field.description}"  # the name in chain notation
    auto = AUTO if field.default is None else plain(field.default)
    if kind is bool:
        return st.toggle(label, key=key, help=help, **KEPT)
    if options := choices(field):
        return st.selectbox(label, options, key=key, help=help, **KEPT)
    if kind in (int, float):
        limits = bounds(field)  # the validation checks open ends
        low, high = (next((kind(limits[sign]) for sign in signs if sign in limits), None) for signs in ENDS)
        step, format = (1, "%d") if kind is int else (None, "%g")
        return st.number_input(label, low, high, None, step, format, key=key, help=help, placeholder=auto, **KEPT)
    return st.text_input(label, key=key, help=help, placeholder=auto, **KEPT) or None


class Part(NamedTuple):
    """The stage that a card describes."""

    method: type[Method]
    text: str  # in chain notation
    reads: Reads
    own_text: bool
    own_seed: bool


def key(card: int, field: str) -> str:
    """Return the session key of a card's field."""
    return f"run_card{card}_{field}"


def method_of(card: int) -> type[Method]:
    """Return the method that is chosen on a card."""
    return get_stage(st.session_state[key(card, "method")])


def described(name: str) -> str:
    """Return a method's label and its effect in two words."""
    method = get_stage(name)
    return f"{method.label} · {DOES.get(method.family, method.family)}"


def fill(card: int, stage: StageRequest, first: bool) -> dict[str, Scalar]:
    """Return the values of a card's fields by key; `first` is whether no earlier stage removes anything.

    Raises:
        UserError: The form cannot represent a value.
    """
    method = get_stage(stage.name)
    amount = stage.amount
    ratio = amount.value if isinstance(amount, Ratio) else DEFAULT_RATIO if first else None
    with stage.error_context():
        fields = fill_parameters(method, key(card, "of"), stage.settings)
    own = {
        "method": stage.name,
        "kind": "pattern" if isinstance(amount, Pattern) else "ratio",
        "ratio": ratio,
        "pattern": str(amount) if isinstance(amount, Pattern) else PATTERNS[0],
        "bits": str(amount if isinstance(amount, Bits) else DEFAULT_BITS),
        "factor": str(amount if isinstance(amount, Factor) else DEFAULT_FACTOR),
        "layers": stage.layers or "",
        "text": str(stage.text) if stage.text else "",
        "seed": stage.seed,
    }
    return fields | {key(card, field): value for field, value in own.items()}


def show_fields(card: int, first: bool, only: bool) -> Part:
    """Show the fields below a card's method; `only` is whether the chain has no other stage."""
    method = method_of(card)
    about = st.container()
    amount = _amount(card, method, first)
    given, reads = _parameters(card, method, only)
    place = "**Embedding only.** " if given.get("on") == "embedding" else ""
    about.caption(f"{place}{method.summary}{cited(method)}")
    text = method.name + amount + "".join(f",{name}={quoted(value)}" for name, value in given.items())
    return Part(method, text, reads, "text" in given, "seed" in given)


def cited(method: type[Method]) -> str:
    """Return the citation that follows a method's summary; empty without a source."""
    source = method.citation
    return f" [{source.authors}, {source.year}]({source.url})." if source else ""


def _amount(card: int, method: type[Method], first: bool) -> str:
    """Show the field of the stage's amount: a cumulative ratio, an N:M pattern, bits or a factor."""
    if not method.takes_amount:
        return ""
    if method.bit_choices:
        st.session_state.setdefault(key(card, "bits"), str(DEFAULT_BITS))
        offered = [str(Bits(bits)) for bits in method.bit_choices]
        chosen = st.session_state[key(card, "bits")]
        mean = "; the chain field also accepts a mean such as 3.5bit" if takes_mean(method) else ""
        bits = st.segmented_control(
            "Bits per weight",
            offered if chosen in offered or not takes_mean(method) else [*offered, chosen],
            required=True,
            key=key(card, "bits"),
            **KEPT,
            format_func=lambda bits: Amount.parse(bits).label,
            help=f"Width of the codes of the block linears, without scales and zero points{mean}.",
        )
        return f"@{bits}"
    if method.factor_choices:
        st.session_state.setdefault(key(card, "factor"), str(DEFAULT_FACTOR))
        factor = st.selectbox(
            "Compression factor",
            [str(Factor(factor)) for factor in method.factor_choices],
            key=key(card, "factor"),
            accept_new_options=True,
            **KEPT,
            help="How many times smaller the embedding becomes; type another factor above 1, such as 2.5x.",
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
                format_func={"ratio": "Share of the weights", "pattern": "N:M pattern"}.__getitem__,
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
                    help="Keeps N of every M consecutive weights, such as 2:4 for GPUs; you can type another.",
                )
            )
        st.session_state.setdefault(key(card, "ratio"), DEFAULT_RATIO if first else None)
        ratio = st.number_input(
            "Cumulative ratio after this stage",
            0.0,
            None,
            None,
            0.05,
            "%g",
            key=key(card, "ratio"),
            **KEPT,
            placeholder="such as 0.7",
            help="Share of the block weights that this and all earlier stages remove: 0.5, then 0.7 leaves 30 %.",
        )
    return "@" if ratio is None else f"@{plain(ratio)}"


def _parameters(card: int, method: type[Method], only: bool) -> tuple[dict[str, str], Reads]:
    """Show the fields of parameters, layers, own text and own seed; return the given values and the data requirement.

    A field that has no effect is shown only while it has a value, so that the user can clear it.
    """
    state = st.session_state
    layers, own_text, own_seed = (key(card, field) for field in ("layers", "text", "seed"))
    may_read = method().data_requirement != "nothing"
    by_layer = method.selects_layers or bool(state.get(layers))
    if not (method.Parameters.model_fields or by_layer or may_read or state.get(own_text) or state.get(own_seed)):
        return {}, "nothing"
    with st.expander("Parameters", key=key(card, "parameters")):
        given = dict(sorted(parameter_inputs(method, key(card, "of")).items()))
        reads = _reads(method, given)
        if by_layer:
            help = "First and last block such as 0:19, or a regular expression on layer names such as mlp."
            given["layers"] = st.text_input("Layers", key=layers, placeholder="all", help=help, **KEPT)
        common = reads == "nothing" or only  # an own text or seed would change nothing
        if not common or state.get(own_text):
            shared_text = job_form.selected_text(job_form.TRAINING if reads == "training" else job_form.CALIBRATION)
            title, auto = "Text of this stage only", str(shared_text)
            help = "Overrides the text of all stages: CORPUS:NxL is N sequences of L tokens of a corpus or file."
            given["text"] = st.text_input(title, key=own_text, placeholder=auto, help=help, **KEPT)
        if not common or state.get(own_seed) is not None:
            state.setdefault(own_seed, None)
            title, auto = "Seed of this stage only", str(state.get("run_seed", 0))
            help = "Overrides the seed of all stages."
            seed = st.number_input(title, 0, MOST_SEED, None, key=own_seed, placeholder=auto, help=help, **KEPT)
            given["seed"] = "" if seed is None else str(seed)
    return {name: value for name, value in given.items() if value}, reads


def _reads(method: type[Method], parameters: Mapping[str, str]) -> Reads:
    """Return the stage's data requirement; its method's default while a parameter is invalid."""
    try:
        return method.create(method.parse_parameters(parameters), None).data_requirement
    except UserError:
        return method().data_requirement
