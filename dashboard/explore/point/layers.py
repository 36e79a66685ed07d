"""Errors, sparsity and bits of each layer of a point."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.analysis.inside.layers import layer_table, measures_of, stages_of
from core.findings.rows import stages
from core.notation.formatting import capitalise, label
from dashboard.charts.layers.heatmap import layer_heatmap
from dashboard.explore.point.shown import Point
from dashboard.exports.files import Item
from dashboard.shared import widgets
from dashboard.shared.variants.notes import show_notes


def show_layers(point: Point) -> list[Item]:
    """Show the effect of one stage on each layer, for the stages that report it."""
    chain, choice = point.result.variant.stages, stages_of(point.result)
    if not choice:
        return []
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
    layers = layer_table(point.result, place)
    measures = {measure.title: measure for measure in measures_of(layers, chain[place])}
    title = st.segmented_control(
        "Layers by", list(measures), default=next(iter(measures)), required=True, key="explore_by"
    )
    measure = measures[title]
    caption = f"{point.name}: {title} of each linear layer, by block"
    caption += f", after stage {place + 1}, {stages.stage_name(chain[place])}." if len(chain) > 1 else "."
    caption += f" {capitalise(title)}: {measure.meaning}."
    item = widgets.show_chart(
        "explore_layers",
        partial(layer_heatmap, layers.drop(columns="name"), column=measure.column, title=capitalise(title)),
        caption,
        layers.dropna(axis="columns", how="all"),
        alt=f"Heat map of {title} by block and layer role",
        file=point.file("layers"),
    )
    show_notes(layers)
    return [item]
