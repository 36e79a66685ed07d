"""The weights of one matrix before and after a stage: a histogram, and a patch with its mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from core.base.errors import UserError
from core.findings.inside.weights import PATCH, Matrices, lacking_variants, matrices
from core.notation.chain import format_chain
from core.notation.removal import format_percent
from core.request.stages import variant_spec
from core.results import LayerReport, Result
from core.specs import VariantSpec
from dashboard.charts.matrices import mask_patch, weight_histogram, weight_patch
from dashboard.exports.files import Item
from dashboard.inside.offers import offer_jobs
from dashboard.shared import widgets
from dashboard.shared.binding import BOUND

ROW, COLUMN = "inside_output", "inside_input"  # keys of the patch's first output and first input
CELL = 230  # minimum width in px of a patch
EXACT = 0.999  # quantile of the absolute weights that has the strongest colour


def show_matrix(result: Result, stage: int, name: str, variant: str, file: str) -> list[Item]:
    """Show the weights of a matrix before and after a stage, if this machine has both models."""
    st.header(f"Weights of {name}", anchor=False)
    try:
        spec = variant_spec(result.variant)
        if lacking := lacking_variants(spec, stage):
            offer_jobs(lacking, [format_chain(one.stages) for one in lacking])
            return []
        with st.spinner("Reading the weights ..."):
            pair = _read(spec, result.layers, stage, name)
    except UserError as error:
        st.caption(str(error))
        return []
    if pair.after is None:
        st.caption("The stage removed this matrix with its whole block, so it has no weights afterwards.")
        return []
    caption = f"{variant}: weights of {name}."
    return [_histogram(pair.before, pair.after, caption, file), *_patches(pair.before, pair.after, caption, file)]


@st.cache_data(max_entries=4, show_spinner=False)  # a choice of the patch needs the same matrix again
def _read(spec: VariantSpec, _layers: Sequence[LayerReport], stage: int, name: str) -> Matrices:
    return matrices(spec, _layers, stage, name)


def _histogram(before: np.ndarray, after: np.ndarray, caption: str, file: str) -> Item:
    weights = {"before": before[before != 0], "after": after[after != 0]}
    shares = ", ".join(
        f"{name} {format_percent(float((each == 0).mean()))}" for name, each in (("before", before), ("after", after))
    )
    caption += f" Without weights that are zero: {shares}."
    return widgets.show_chart(
        "inside_weights",
        partial(weight_histogram, weights),
        caption,
        pd.DataFrame({name: pd.Series(values).describe() for name, values in weights.items()}).reset_index(
            names="statistic"
        ),
        alt="Histogram of the nonzero weights before and after the stage",
        file=f"{file}-weights",
    )


def _patches(before: np.ndarray, after: np.ndarray, caption: str, file: str) -> list[Item]:
    """Show a square part of the matrix before and after, and the zeros of the latter."""
    with st.container(horizontal=True):
        origin = _start("First output", ROW, after.shape[0]), _start("First input", COLUMN, after.shape[1])
    rows, columns = (slice(start, start + PATCH) for start in origin)
    parts = {"Before": before[rows, columns], "After": after[rows, columns]}
    if before.shape != after.shape:
        st.caption("The stage changed the shape, so the same index means another weight before and after.")
    most = float(np.quantile(np.abs(parts["Before"]), EXACT)) or 1.0
    where = f"{PATCH} outputs from {origin[0]}, {PATCH} inputs from {origin[1]}."
    zeros = parts["After"] == 0
    mask = f"Mask ({format_percent(float(zeros.mean()))} zero)"
    shown = [
        (title, partial(weight_patch, part, origin, most, title=f"{title} (weight)"), part, f"{title} the stage")
        for title, part in parts.items()
    ]
    shown.append(("Mask", partial(mask_patch, zeros, origin, title=mask), zeros, "Zeros after the stage"))
    items = []
    with st.grid(3, min_column_width=CELL, gap="medium") as grid:
        for title, draw, part, content in shown:
            name, alt = title.lower(), f"{title}: a part of the matrix"
            notes, table = f"{caption} {content}: {where}", pd.DataFrame(part)
            with grid.cell():
                items.append(
                    widgets.show_chart(f"inside_patch_{name}", draw, notes, table, alt=alt, file=f"{file}-{name}")
                )
    return items


def _start(label: str, key: str, size: int) -> int:
    most = max(size - PATCH, 0)
    if st.session_state.get(key, 0) > most:
        st.session_state[key] = most  # another matrix is smaller
    return int(st.number_input(label, 0, most, 0, step=PATCH, key=key, **BOUND))
