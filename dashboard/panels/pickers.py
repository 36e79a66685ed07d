"""What Explore shows is chosen here, at the left; every choice is in the address."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.chain import DENSE
from core.registry import METHODS
from core.request.stages import DEFAULT_MODEL
from core.specs import Perplexity
from dashboard import data
from dashboard.charts import figures, points
from dashboard.panels.binding import BOUND

FAMILIES, SHOWN, THEN = "explore_families", "explore_methods", "explore_then"  # keys
AXES = dict(
    zip(
        (
            *("ratio asked for", "model share removed", "parameters left", "packed size"),
            *("time to read a token", "time to write a token"),
        ),
        figures.AXES,
        strict=True,
    )
)


def methods_there(rows: pd.DataFrame) -> list[str]:
    """Return the methods with results of the families that the user picks, at first of one: all are a crowded chart."""
    there = set(rows["method"].unique())
    found = [method for method in METHODS if method.takes_amount and method.name in there]
    families = list(dict.fromkeys(method.family for method in found))
    chosen = families

    def show_all() -> None:
        st.session_state[SHOWN] = [method.name for method in found if method.family in st.session_state[FAMILIES]]

    if len(families) > 1:
        chosen = st.pills(
            "Families",
            families,
            selection_mode="multi",
            default=families[:1],
            format_func=str.capitalize,
            key=FAMILIES,
            on_change=show_all,
            **BOUND,
        )
    return [method.name for method in found if method.family in chosen]


def followed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of variants with no other stages after a method than the user picks, at first few of them."""
    there = points.followers(rows)
    every = set().union(*there)
    names = [name for name in points.FOLLOWERS if name in every]
    if not names:
        return rows
    family = rows.loc[rows["method"] != DENSE, "family"].iloc[:1]  # the one that is shown at first
    few = points.few_followers(rows[rows["family"].isin(family)], figures.FEW_SERIES)
    chosen = st.pills(
        "Then",
        names,
        selection_mode="multi",
        default=[name for name in names if name in few],
        format_func=points.FOLLOWERS.__getitem__,
        key=THEN,
        help="What followed a method, such as training what it had left. An arrow leads to what came of it.",
        **BOUND,
    )
    return rows[there <= set(chosen)]


def pick_text(label: str, texts: list[str], key: str, help: str) -> str | None:
    """Let one of the texts be chosen where there are several; the first is the default."""
    if len(texts) < 2:
        return next(iter(texts), None)
    return st.selectbox(label, texts, key=key, help=help, **BOUND)


def pick(models: list[str]) -> dict:
    """Show the pickers and return what was chosen: model, methods, corpus, calibration, training, axis, and the rows.

    `rows` are of variants made with the chosen texts, and `measured` their perplexities on the chosen corpus.
    """
    start = models.index(DEFAULT_MODEL) if DEFAULT_MODEL in models else 0
    with st.sidebar:
        model = st.selectbox("Model", models, index=start, key="explore_model", **BOUND)
        rows = data.frame(model)
        unread = rows.attrs["warnings"]
        labels = {method.name: method.label for method in METHODS}
        there = methods_there(rows)
        default = None if SHOWN in st.session_state else there
        methods = st.multiselect("Methods", there, default=default, format_func=labels.__getitem__, key=SHOWN, **BOUND)
        rows = followed(rows)
        texts = points.texts(rows, data.corpora_here()[0])
        text = st.selectbox(
            "Perplexity on",
            list(texts),
            key="explore_text",
            **BOUND,
            help="The text, how many tokens the model reads at once, and how much of the text was read. "
            "Perplexities on different texts or windows cannot be compared.",
        )
        corpus, protocol = texts.get(text, (None, None))
        measured = rows[
            (rows["metric"] == "perplexity") & (rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)
        ]
        known, shown = points.scored(rows), measured[measured["method"].isin([*methods, DENSE])]
        calibration = pick_text(
            "Calibrated on",
            points.calibrations(shown, known),
            "explore_calibration",
            "The text that methods read to decide which weights matter: corpus, windows x tokens.",
        )
        training = pick_text(
            "Trained on",
            points.trainings(shown, known),
            "explore_training",
            "The text of the training, where there was one: corpus, windows x tokens.",
        )
        axis = st.selectbox(
            "Compare by",
            list(AXES),
            key="explore_x",
            **BOUND,
            help="The ratio counts only the weights inside the model's blocks; the other choices count all of it.",
        )
    rows = points.made_with(rows[rows["method"].isin([*methods, DENSE])], calibration, training)
    return {
        "model": model,
        "unread": unread,
        "methods": methods,
        "corpus": corpus,
        "calibration": calibration,
        "training": training,
        "axis": AXES[axis],
        "rows": rows,
        "measured": measured[measured.index.isin(rows.index)],
    }


def made_with(chosen: dict) -> str:
    """Say on which texts what is shown was calibrated and trained."""
    said = f" Calibrated on {chosen['calibration']} where a method reads data." if chosen["calibration"] else ""
    return said + (f" Trained on {chosen['training']} where there was a training." if chosen["training"] else "")


def text_of(chosen: dict) -> str:
    """Return the perplexity that is shown, in the command line's notation."""
    row = chosen["measured"].iloc[0]
    windows = None if pd.isna(row["windows"]) else int(row["windows"])
    return str(Perplexity(corpus=chosen["corpus"], window=int(row["window"]), windows=windows))
