"""The fields in Explore's sidebar, whose values are in the address, and the list of series that charts highlight."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.data.texts import called
from core.findings import axes
from core.findings.curve import MAX_HIGHLIGHTED, View, default_series
from core.findings.numbers.reporting import listed
from core.findings.rows import choices, points, zeroshot
from core.findings.rows.other_texts import other_texts, rows_elsewhere
from core.findings.rows.zeroshot import Documents, documents_of, on_documents
from core.findings.sharing import SharedTable, shared
from core.registry import METHODS
from core.request.stages import DEFAULT_LIMIT, DEFAULT_MODEL
from core.specs import DTYPES, PUBLISHED, Perplexity
from dashboard import data
from dashboard.charts.curve import styles_of
from dashboard.charts.elements.style import HEIGHT, WIDTH, SeriesStyle, Theme, picture
from dashboard.exports.files import export_name, model_part, text_part
from dashboard.shared.binding import BOUND, HELD, check_link, multiselect, select

FAMILIES, SHOWN, AXIS, TEXT = "explore_families", "explore_methods", "explore_x", "explore_text"  # keys
AT = "explore_at"  # key of the chosen amount
MODEL, MODELS = "explore_model", "explore_models_shown"  # keys
COST, AGAINST, PROMPT = "explore_cost", "explore_against", "explore_prompt_kind"  # keys
OF_PAPERS = "First the models measured here, then those of published results."
BY_SIZE, BY_BITS = "packed size", "bits per weight"
LATENCIES = ("prefill latency", "decode latency")
NAMES = ("pruning ratio", "share of the model removed", "parameters", BY_SIZE, BY_BITS, *LATENCIES)
AXES = dict(zip(NAMES, axes.AXES, strict=True))
FORMER_AXES = {
    "what was removed": "pruning ratio",
    "ratio asked for": "pruning ratio",
    "model share removed": "share of the model removed",
    "parameters left": "parameters",
    "time to read a token": "prefill latency",
    "time to write a token": "decode latency",
}
FORMER_VIEWS = {"Curve": "By amount", "Trade-off": "By size"}
SERIES = "explore_series"  # key of the field and parameter of the address
ELSEWHERE = "explore_elsewhere"  # key of the field and parameter of the address
THERE = "explore_series_there"  # session key of the last run's options
# Streamlit cannot show pictures in the options of a bound field, whose texts are the values in the address.
LIST = """
.st-key-{key} [role="toolbar"] {{ flex-direction: column; gap: 2px; }}
.st-key-{key} button[data-variant] {{
  justify-content: flex-start; text-align: left; width: 100%; max-width: 100%;
  height: auto; min-height: 28px; border-radius: 6px;
}}
.st-key-{key} button[data-variant] > div {{ justify-content: flex-start; flex-grow: 1; }}
.st-key-{key} button[data-variant] p {{ white-space: normal; overflow-wrap: anywhere; }}
.st-key-{key} button[data-variant]::before {{
  content: ""; flex: none; width: {width}px; height: {height}px; margin-right: 8px;
}}
"""
SAMPLE = (
    '.st-key-{key} button[data-variant]:nth-of-type({place})::before {{ background: url("{source}") no-repeat; }}\n'
)
NONE = SharedTable(points.collapse(pd.DataFrame()))  # no points


@dataclass(frozen=True)
class Chosen(View):
    """The choices in the sidebar and their rows of `core.findings.numbers.frame.tidy`."""

    methods: list[str]
    documents: Documents
    several_documents: bool  # whether the model has other documents too

    @property
    def corpus_name(self) -> str:
        """The display name of the corpus."""
        return called(str(self.corpus))

    @property
    def protocol_caption(self) -> str:
        """The end of a caption on perplexities: their protocol, with the calibration and training data."""
        return f"{self.measured['protocol'].iloc[0]}.{self.data_caption}"

    @property
    def data_caption(self) -> str:
        """The sentences of a caption on calibration and training data."""
        calibration = f" Calibration data: {self.calibration}." if self.calibration else ""
        return calibration + (f" Training data: {self.training}." if self.training else "")

    @property
    def text(self) -> str:
        """The perplexity in the notation of the command line."""
        return str(self._text)

    def file(self, content: str) -> str:
        """Return the name of an export file, without extension."""
        return file_name(self.model, None if self.measured.empty else self._text, content)

    @property
    def _text(self) -> Perplexity:
        return choices.text_of(self.measured, str(self.corpus))


def file_name(model: str, text: Perplexity | None, content: str) -> str:
    """Return the name of an export file on a text, without extension."""
    read = [] if text is None else [text_part(text.corpus, text.window, text.windows, text.spread)]
    return export_name(model_part(model), *read, content)


def pick(models: list[str], by_method: bool = True, axis: axes.Axis | None = None, scored: bool = True) -> Chosen:
    """Show the fields of the sidebar and return the choices.

    By method, they include the methods and their data; otherwise the view shows every variant and has filters. Without
    an axis, there is a field for it, and `scored` views show accuracies and need a choice of documents.
    """
    model, field = pick_model(models), AXIS if axis is None else AGAINST
    with st.sidebar:
        rows = data.frame(model)
        if (rows["origin"] == PUBLISHED).all():
            st.caption("This model has published results only.")
        others, below = st.container(), st.container()
    with below:
        if axis is None:  # first, because it decides which methods have a curve
            help = "To compare quantised with pruned models, choose packed size, bits per weight or latency."
            axis = AXES[select("Compare by", list(AXES), AXIS, "axis", bound=HELD, help=help)]
    with others:
        curved = choices.curved(rows, axis) if by_method else rows
        every = [method.name for method in METHODS]
        methods = _pick_methods(choices.of_methods(rows), curved, field) if by_method else every
        with st.expander("Protocol"):
            corpus, protocol, known = pick_text(model)
            shown = choices.shown(choices.on_text(curved, corpus, protocol), methods)
            offered = None if by_method else 1  # the first is the default
            there, help = choices.calibrations(shown, known)[:offered], "Calibration data: corpus, sequences x tokens."
            calibration = _pick_text("Calibrated on", there, "explore_calibration", help)
            there, help = choices.trainings(shown, known)[:offered], "Training data: corpus, examples x tokens."
            training = _pick_text("Trained on", there, "explore_training", help)
            read = choices.filter_by_text(choices.shown(curved, methods), calibration, training)
            documents, several, scores = pick_documents(read, scored)
    return Chosen(
        model=model,
        methods=methods,
        corpus=corpus,
        protocol=protocol,
        calibration=calibration,
        training=training,
        axis=axis,
        measured=choices.filter_by_text(shown, calibration, training),
        documents=documents,
        several_documents=several,
        scores=scores,
    )


def pick_text(model: str, key: str = TEXT) -> tuple[str | None, str | None, frozenset[str]]:
    """Show the field of a model's texts; return corpus, protocol id, and the keys of variants with accuracies."""
    texts, known = _known(str(data.store().url), model, data.stamp_of(model), data.corpora_here()[0])
    help = "Text, number of windows and tokens per window; perplexities of different ones cannot be compared."
    corpus, protocol = texts.get(select("Perplexity on", list(texts), key, "text", help=help), (None, None))
    return corpus, protocol, known


def pick_model(models: list[str], key: str = MODEL, help: str | None = OF_PAPERS) -> str:
    """Show the sidebar's field of the model and return the chosen one; `key` is also its parameter of the address."""
    default = data.model_named(DEFAULT_MODEL)
    start = models.index(default) if default in models else 0
    with st.sidebar:
        return select("Model", models, key, "model", index=start, help=help)


def rename_values() -> None:
    """Replace values in the address by their current names: of models, and of links from version 0.2.0."""
    renamings: dict[str, Callable[[str], str]] = {
        MODEL: data.model_named,
        MODELS: data.model_named,
        TEXT: choices.current_text_name,
        PROMPT: lambda name: name.replace(" demonstration", " example"),
        **dict.fromkeys((AXIS, COST, AGAINST), lambda name: FORMER_AXES.get(name, name)),
        "explore_mode": lambda name: FORMER_VIEWS.get(name, name),
    }
    for key, rename in renamings.items():
        typed = st.query_params.get_all(key)
        if typed != (meant := [rename(name) for name in typed]):
            st.query_params[key] = meant
            st.rerun()  # must precede the field, which reads the address once
    for key in (MODEL, MODELS):
        chosen = st.session_state.get(key)
        if isinstance(chosen, str):
            st.session_state[key] = data.model_named(chosen)
        elif chosen:
            st.session_state[key] = [data.model_named(name) for name in chosen]


@st.cache_resource(max_entries=4, show_spinner=False)
def _known(url: str, model: str, stamp: Hashable, here: str) -> tuple[dict[str, tuple[str, str]], frozenset[str]]:
    """Return the texts to choose from, and the keys of variants with accuracies."""
    rows = data.frame(model)
    return choices.texts(rows, here), frozenset(zeroshot.scored(rows))


def _pick_methods(rows: pd.DataFrame, curved: pd.DataFrame, axis: str) -> list[str]:
    """Show the fields of families and methods; the default is one family to limit the chart.

    The methods of `curved` have a place on the axis. A family without one switches the field `axis` to packed size,
    where each family has one.
    """
    there, placed = _names_of_methods(rows), _names_of_methods(curved)
    found = [method for method in METHODS if method.takes_amount and method.name in there]
    families = list(dict.fromkeys(method.family for method in found))
    on_axis = list(dict.fromkeys(method.family for method in found if method.name in placed))
    chosen = families

    def choose() -> None:
        chosen = st.session_state[FAMILIES]
        if not set(chosen) <= set(on_axis):
            st.session_state[axis] = BY_SIZE
        st.session_state[SHOWN] = [method.name for method in found if method.family in chosen]

    if len(families) > 1:
        check_link(FAMILIES, "family", [family.capitalize() for family in families], str.capitalize)
        chosen = st.pills(
            "Families",
            families,
            selection_mode="multi",
            default=on_axis[:1],
            format_func=str.capitalize,
            key=FAMILIES,
            on_change=choose,
            help="Quantised models and factored embeddings have no pruning ratio; they are compared by packed size.",
            **HELD,
        )
    if lacking := [family.capitalize() for family in chosen if family not in on_axis]:
        st.caption(f"{listed(lacking)}: no place on this axis.")
        st.button("Compare by packed size", key="explore_by_size", on_click=choose)
    labels = {method.name: method.label for method in found if method.family in chosen and method.name in placed}
    if not labels:
        return []
    check_link(SHOWN, "method", labels.values(), labels.__getitem__)
    default = list(labels)
    return multiselect("Methods", default, default=default, format_func=labels.__getitem__, key=SHOWN, **HELD)


@shared
def _names_of_methods(rows: pd.DataFrame) -> set[str]:
    return set(rows["method"].unique())


def _pick_text(label: str, texts: list[str], key: str, help: str) -> str | None:
    """Show the field of the texts if there are several; the first is the default."""
    if len(texts) < 2:
        return next(iter(texts), None)
    return select(label, texts, key, "text", help=help)


def pick_documents(
    rows: pd.DataFrame, ask: bool, key: str = "explore_documents"
) -> tuple[Documents, bool, pd.DataFrame]:
    """Return the chosen documents, by default the most in fp32, whether there are others, and their rows."""
    rows = zeroshot.scored_on(rows)
    choices = documents_of(rows)
    scored = next(iter(choices), Documents(DEFAULT_LIMIT, DTYPES[0]))
    if ask and len(choices) > 1:
        names = {one.label: one for one in choices}
        help = "Documents of each task and evaluation precision; charts never mix different ones."
        scored = names.get(select("Accuracy on", list(names), key, "choice of documents", help=help), scored)
    return scored, len(choices) > 1, on_documents(rows, scored)


class Picked(NamedTuple):
    """The highlighted series, and whether charts show the others in grey."""

    names: list[str]
    others: bool


def pick_elsewhere(chosen: Chosen, frame: pd.DataFrame) -> pd.DataFrame:
    """Show the field of the variants on other texts, if there are any; return their points, none by default.

    `frame` has the rows of the model.
    """
    given = frame, chosen.measured, chosen.methods, chosen.axis
    rows = rows_elsewhere(*given)
    if rows.empty or not points.is_dense(chosen.measured).any():
        return NONE
    with st.sidebar:
        wanted = st.toggle(
            "Other texts, hollow",
            key=ELSEWHERE,
            help="Also draws variants with another text, precision, calibration or training data, and divides each "
            "perplexity by that of dense on the same text. Only these multiples compare.",
            **BOUND,
        )
    return other_texts(*given) if wanted else NONE


def pick_series(found: pd.DataFrame, elsewhere: pd.DataFrame, theme: Theme) -> Picked:
    """Show the list of the series of the points `found`, with a sample of each line and marker.

    `default_series` are preselected. The series `elsewhere`, on other texts, follow.
    """
    both, default = pd.concat([found, elsewhere]), default_series(found)
    options = list(dict.fromkeys(both["series_label"]))
    if len(options) < 2:
        return Picked(options, False)
    _follow(options, default)
    with st.sidebar:
        styles = styles_of(both, theme, set(elsewhere["series_label"]))
        chosen = show_list(options, default, SERIES, styles)
        others = len(chosen) < len(options) and st.toggle(
            "Show the others in grey", value=True, key="explore_others", help="Context without names.", **BOUND
        )
    return Picked([name for name in options if name in chosen], others)


def show_list(options: Sequence[str], default: Sequence[str], key: str, styles: Mapping[str, SeriesStyle]) -> list[str]:
    """Show series as one list, each with a sample of its line and marker, and return the chosen ones."""
    samples = "".join(
        SAMPLE.format(key=key, place=place, source=picture(styles[name]))
        for place, name in enumerate(options, 1)
        if name in styles
    )
    if samples:
        st.html(f"<style>{LIST.format(key=key, width=WIDTH, height=HEIGHT)}{samples}</style>")
    check_link(key, "series", options)
    return st.pills(
        "Series",
        options,
        selection_mode="multi",
        default=default,
        key=key,
        width="stretch",
        help="Chosen series are named, coloured, tabulated and exported. The curve adds those of the answer.",
        **BOUND,
    )


def _follow(options: list[str], default: list[str]) -> None:
    """Update the choice when the options change: keep the chosen ones, and add new default ones that fit."""
    before = st.session_state.get(THERE, options)
    st.session_state[THERE] = options
    if before != options:
        kept = [name for name in st.session_state.get(SERIES, ()) if name in options]
        both = [*kept, *(name for name in default if name not in kept and name not in before)]
        st.session_state[SERIES] = both if both and len(both) <= MAX_HIGHLIGHTED else default
