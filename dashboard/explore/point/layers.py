"""Errors, sparsity and bits of each layer of a point."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.notation.formatting import label
from core.registry import RECONSTRUCTIONS, quantises
from dashboard.charts.elements import figures
from dashboard.charts.frames import stages
from dashboard.explore.point.shown import Point
from dashboard.exports.files import Item
from dashboard.shared import widgets


def show_layers(point: Point) -> list[Item]:
    """Show the effect of one stage on each layer, for the stages that report it."""
    reports, chain = point.result.layers, point.result.variant.stages
    if not reports:
        return []
    choice = sorted({layer.stage for layer in reports})
    place = choice[-1]
    if len(choice) > 1:
        place = st.segmented_control(
            "Layers after stage",
            choice,
            default=place,
            required=True,
            format_func=lambda place: f"{place + 1}. {label(chain[place].method)}",
            key=f"explore_stage_{point.result.variant.key[:8]}",
        )
    shown = [layer for layer in reports if layer.stage == place]
    layers = pd.DataFrame([layer.model_dump() | {"bits": layer.bits} for layer in shown])
    kind = layers["error_kind"].iloc[0]
    measure = "bits" if quantises(chain[place]) else "sparsity"  # zeros of quantised weights are codes, not sparsity
    titles = {"error": f"relative {kind} error", "bits": "bits per weight", "sparsity": "sparsity"}
    order = (measure, "error") if layers["bits"].nunique() > 1 else ("error", measure)
    choices = {titles[column]: column for column in order if layers[column].notna().any()}
    if not choices:
        return []
    title = st.segmented_control(
        "Layers by", list(choices), default=next(iter(choices)), required=True, key="explore_by"
    )
    meaning = {
        "output": "squared change of the layer's output on the calibration data, relative to the output",
        "weight": "squared change of the weights, relative to the weights",
    }[kind]
    if chain[place].method in {method.name for method in RECONSTRUCTIONS}:
        meaning = "squared distance to the unmasked layer's output on the calibration data, relative to that output"
    caption = f"{point.name}: {title} of each linear layer, by block"
    caption += f", after stage {place + 1}, {stages.stage_name(chain[place])}." if len(chain) > 1 else "."
    if choices[title] == "error":
        caption += f" Error: {meaning}."
    notes = [f"{layer.name}: {layer.note}" for layer in shown if layer.note]
    common = layers["note"].iloc[0] if layers["note"].nunique(dropna=False) == 1 else None
    item = widgets.show_chart(
        "explore_layers",
        lambda theme: figures.layer_heatmap(layers, theme, choices[title], title.capitalize()),
        caption,
        layers[["name", "block", "role", measure, "error", "error_kind", "damping", "seconds", "note"]],
        alt=f"Heat map of {title} by block and layer role",
        file=point.file("layers"),
    )
    if common:
        st.caption(f"All layers: {common}.")
    elif notes:
        with st.expander(f"{len(notes)} notes of the method"):
            st.markdown("\n".join(f"- {note}" for note in notes))
    return [item]
