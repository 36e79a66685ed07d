"""Fields whose values are in the page's address: where they store them, and values of a link that they lack."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypedDict, TypeVar, cast

import streamlit as st

from core.findings.numbers.reporting import listed
from core.findings.rows import naming
from dashboard.shared.literal import literal


class Stored(TypedDict, total=False):
    """Widget arguments that store the value in the page's address, in the session, or in both."""

    bind: Literal["query-params"]
    persist_state: Literal["session"]


UNBOUND: Stored = {}
BOUND: Stored = {"bind": "query-params"}
KEPT: Stored = {"persist_state": "session"}  # also while another page is open
HELD: Stored = {**BOUND, **KEPT}  # links and a return to the page both restore the value

Number = TypeVar("Number", bound=float | None)
Width = int | Literal["stretch"]

ALONE = "alone"  # a link with this parameter resets every field that it does not set


def arrive(prefix: str) -> None:
    """Reset the fields whose keys start with `prefix` if the visitor follows a link with `ALONE`.

    Streamlit itself does not reset a field that an address leaves at its default.
    """
    if ALONE in st.query_params:
        del st.query_params[ALONE]
        for key in [key for key in st.session_state if str(key).startswith(prefix)]:
            del st.session_state[key]
        st.session_state.pop(LACKING, None)


def keep_in_address(key: str) -> None:
    """Store a field's new value in the address; for `on_change` of a field that a page has at several places.

    Streamlit's browser part unbinds such a field when it removes the former place.
    """
    st.session_state[key] = st.session_state[key]


LACKING = "lacking"  # session key of the values that the last links asked for in vain, by field


@dataclass
class Lacking:
    """Values of a link that a field does not have, and the text of the value that it shows instead."""

    field: str
    values: list[str]
    form: Callable[[str], str]
    shown: str | None = None  # unknown until the page is complete

    def sentences(self) -> str:
        """Return what the link asks for and what the page shows."""
        article = "an" if self.field[0] in "aeiou" else "a"
        asked = [f"This link asks for {article} {self.field} that is not here: {literal(one)}." for one in self.values]
        return " ".join([*asked, f"Shown: {literal(self.shown or 'none')}."])

    def shown_now(self, key: str) -> str:
        """Return the text of the field's value."""
        value = st.session_state.get(key)
        values = value if isinstance(value, list) else [] if value is None else [value]
        return listed([self.form(one) for one in values]) if values else ""


class Between(Container[str]):
    """The numbers from one limit to another, as texts."""

    def __init__(self, least: float, most: float):
        self._least, self._most = least, most

    def __contains__(self, text: object) -> bool:
        try:
            return self._least <= float(str(text)) <= self._most
        except ValueError:
            return False


def check_link(key: str, field: str, accepted: Container[str], form: Callable[[str], str] = str) -> None:
    """Remember the values in the address that a field does not have; call it before the field.

    Streamlit itself removes such values from the address, and shows the default. `key` is that of the field and its
    parameter of the address, `field` its name in a sentence, such as "model". `accepted` are the texts of its options
    in the address, and `form` returns the text of a value.
    """
    if values := [one for one in st.query_params.get_all(key) if one and one not in accepted]:
        st.session_state.setdefault(LACKING, {})[key] = Lacking(field, values, form)


multiselect = partial(st.multiselect, select_all=False)  # else Enter would take all that match


def segments(
    label: str,
    options: Sequence[str],
    key: str,
    field: str,
    form: Callable[[str], str] = str,
    bound: Stored = BOUND,
    *,
    start: str | None = None,
    help: str | None = None,
    wrap: bool | None = None,
    labelled: bool = True,
    on_change: Callable[[], None] | Literal["rerun"] = "rerun",
) -> str:
    """Show options side by side and return the chosen one, at first `start` or the first.

    `key`, `field` and `form` are as of `check_link`. `bound` is where the value is stored, `wrap` whether the options
    may take several lines, and `labelled` whether the page shows the label.
    """
    check_link(key, field, [form(one) for one in options], form)
    return st.segmented_control(
        label,
        options,
        default=options[0] if start is None else start,
        required=True,
        format_func=form,
        key=key,
        help=help,
        wrap=wrap,
        label_visibility="visible" if labelled else "collapsed",
        on_change=on_change,
        **bound,
    )


def select(
    label: str,
    options: Sequence[str],
    key: str,
    field: str,
    form: Callable[[str], str] = str,
    bound: Stored = BOUND,
    *,
    index: int = 0,
    help: str | None = None,
    width: Width = "stretch",
) -> str:
    """Show a list of options and return the chosen one, at first that at `index`; the rest is as of `segments`."""
    check_link(key, field, [form(one) for one in options], form)
    return st.selectbox(label, options, index, form, key, help, width=width, **bound)


def number(
    label: str,
    limits: tuple[float, float],
    usual: Number,
    key: str,
    field: str,
    bound: Stored = HELD,
    *,
    step: float | None = None,
    format: str | None = None,
    help: str | None = None,
    placeholder: str | None = None,
    disabled: bool = False,
    width: Width = "stretch",
) -> Number:
    """Show the field of a number within limits; `usual` is the default, and the rest is as of `segments`."""
    check_link(key, field, Between(*limits))
    show: Callable[..., object] = st.number_input  # mypy cannot choose among its types, which depend on `usual`
    more = {"placeholder": placeholder, "disabled": disabled, "width": width}
    return cast(Number, show(label, *limits, usual, step, format, key, help, **more, **bound))


def check_named(key: str, field: str, names: Mapping[str, str]) -> None:
    """Do `write_names` and `check_link` for a field of points or variants."""
    write_names(key, names)
    check_link(key, field, names.values(), names.__getitem__)


def pick_named(
    label: str,
    names: Mapping[str, str],
    key: str,
    field: str = "variant",
    index: int | None = None,
    *,
    placeholder: str | None = None,
    help: str | None = None,
    on_change: Callable[[str], None] | None = None,
) -> str | None:
    """Show a field of variants or points, whose values in the address are names; return the key of the chosen one.

    `names` are by key, `index` is the place of the first choice, and a new choice calls `on_change` with the key of the
    field. The rest is as of `segments`.
    """
    check_named(key, field, names)
    keys, form = list(names), names.__getitem__
    return st.selectbox(label, keys, index, form, key, help, on_change, (key,), placeholder=placeholder, **BOUND)


def write_names(key: str, names: Mapping[str, str]) -> None:
    """Replace chains and former names in the address by the full names that they mean (`naming.addressed`)."""
    if key in st.session_state:
        return
    linked = st.query_params.get_all(key)
    meant = [names.get(naming.addressed(names, one) or "", one) for one in linked]
    if meant != linked:
        st.query_params[key] = meant  # must precede the field, which reads the address once
        st.rerun()


def show_lacking(prefix: str) -> None:
    """Show what the last link asks for in vain, and what its fields show instead; their keys start with `prefix`.

    A notice disappears when its field changes or another page opens.
    """
    known: dict[str, Lacking] = st.session_state.get(LACKING, {})
    for key, lacking in list(known.items()):
        shown = lacking.shown_now(key)
        if lacking.shown is None:
            lacking.shown = shown
        if key.startswith(prefix) and shown == lacking.shown:
            st.info(lacking.sentences())
        else:
            del known[key]
