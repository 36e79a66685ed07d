"""Autopilot page: a budget of size and time in, the best chain out."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import UserError
from core.models.facts import load_shape
from core.models.kinds.folder import named_folder
from core.models.sources import identify
from core.notation.chain import DENSE
from core.notation.formatting import format_number
from core.request.expected.size import predicted_size
from core.search.question import Question
from core.search.session import start
from core.search.space import Restrictions, searched_methods
from core.search.studies import import_studies
from core.shipping.formats import FORMATS, file_sentence
from core.specs import Stage, VariantSpec
from dashboard import data
from dashboard.autopilot.progress import show_searches
from dashboard.shared import job_form
from dashboard.shared.binding import HELD, check_link, multiselect, number, select
from dashboard.shared.literal import literal

MOST_MB, MOST_MINUTES = 1e6, 10_080.0  # a week
ANY = "any"
SIZE = "In megabytes of 10^6 bytes: the file for the program, or the packed size for any program."
TIME = "Of all searches with the same question."
FOR = "Only chains whose model this program loads. Its file has the size."
ALL = "All; choose some to allow only these"
MODEL, MB, MINUTES, ONLY, TRAINING, STRUCTURED, METHODS = (
    f"autopilot_{name}" for name in ("model", "mb", "minutes", "only", "training", "structured", "methods")
)


def question_input() -> Question | None:
    """Show the fields; return the question, or None if a field is wrong or waits for a permission."""
    mistakes = job_form.FormErrors()
    first, second, third = st.columns(3, gap="medium")
    with first:
        model = job_form.model_box(MODEL)
        if job_form.held_back(MODEL, [named_folder(model)]):
            return None
        with mistakes.catch():
            _describe(model)
    left, right = second.columns(2)
    with left:
        max_mb = number("At most (MB)", (0.001, MOST_MB), 90.0, MB, "number of megabytes", help=SIZE, format="%g")
    with right:
        minutes = number("Minutes", (0.1, MOST_MINUTES), 60.0, MINUTES, "number of minutes", help=TIME, format="%g")
    methods = _methods(second)
    names = {ANY: "Any program", **{form.name: form.label for form in FORMATS[1:]}}
    with third:
        only = select("For", list(names), ONLY, "format", names.__getitem__, HELD, help=FOR)
        training = st.toggle("Stages that train", True, key=TRAINING, **HELD)
        structured = st.toggle("Removal of heads, channels and blocks", True, key=STRUCTURED, **HELD)
    if mistakes.found:
        return None
    return Question(
        model=model,
        max_mb=max_mb,
        minutes=minutes,
        restrictions=Restrictions(
            training=training, structured=structured, methods=methods, only=None if only == ANY else only
        ),
    )


def _methods(place: DeltaGenerator) -> tuple[str, ...]:
    """Show the field of the methods that a chain may have; return their names, none for all."""
    labels = {method.name: method.label for method in searched_methods()}
    check_link(METHODS, "method", labels.values(), labels.__getitem__)
    with place:
        return tuple(
            multiselect("Methods", list(labels), format_func=labels.__getitem__, key=METHODS, placeholder=ALL, **HELD)
        )


def _describe(model: str) -> None:
    """Show the size of the dense model; a `UserError` if it is not on this machine."""
    if not model:
        raise UserError("No model is chosen; choose one, or type a folder or a hub id.")
    source = identify(model)
    shape = load_shape(source)
    if size := predicted_size(shape, ()):
        dense = VariantSpec(model=source.id, revision=source.revision, stages=(Stage(method=DENSE),))
        st.caption(
            f"The dense model takes {format_number(size.packed_bytes / 1e6)} MB packed. {file_sentence(dense, size)}"
        )


def page() -> None:
    """Show the page."""
    st.title("Autopilot", anchor=False)
    st.markdown("Give a size and a time. The search measures chains of methods and returns the best one that fits.")
    try:
        import_studies(data.store())
    except UserError as error:
        st.warning(literal(str(error)))
    with st.container(border=True):
        question = question_input()
        pressed = st.button(
            "Search", type="primary", icon=":material/search:", disabled=question is None, key="autopilot_start"
        )
        if pressed and question is not None:
            try:
                with st.spinner("Listing the chains that fit…"):
                    name = start(question, data.queue())
            except UserError as error:
                st.error(literal(str(error)))
            else:
                st.session_state["autopilot_shown"] = name
                st.toast("The search has started.", icon=":material/search:")
                st.rerun()
    show_searches()


page()
