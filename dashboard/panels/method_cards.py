"""The methods as a map of their kinds, and a card for each: all from the declarations and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.cli.listing import parameter_rows
from core.formatting import format_amount
from core.methods.base import Method
from core.methods.formulas import legend
from core.methods.preparation import TransformMethod
from core.models.catalogue import BY_ID
from core.models.shape import shape_from_config
from core.registry import get_stage
from core.request.compatibility import WITH_CONVOLUTIONS, on_convolutions
from core.request.stages import DEFAULT_MODEL, DEFAULT_RATIO
from core.taxonomy import Branch, Kind
from core.training.base import TrainingMethod
from dashboard import data
from dashboard.charts.style import Theme
from dashboard.charts.swatch import swatch
from dashboard.panels import links, texts
from dashboard.panels.glossary import term

READS = {"nothing": "no text", "calibration": "a calibration text", "training": "a training text"}
STYLE = (
    "display:inline-flex;align-items:center;gap:0.35rem;margin:0 0.35rem 0.35rem 0;padding:0.1rem 0.6rem 0.1rem 0.4rem;"
    "border:1px solid {grid};border-radius:0.5rem;color:{text};text-decoration:none;font-size:0.9rem;max-width:100%"
)


def show_map(tree: Sequence[tuple[Branch, Sequence[Kind]]], theme: Theme) -> None:
    """Show each branch as a box, with its kinds and the methods of each, which lead to their cards."""
    sizes = [2 if sum(len(kind.methods) for kind in kinds) > 6 else 1 for _, kinds in tree]
    for column, (branch, kinds) in zip(st.columns(sizes), tree, strict=True):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{branch.name}**")
            st.caption(branch.about)
            for kind in kinds:
                st.markdown(kind.leaf.name, help=kind.leaf.about)
                st.html("".join(_chip(method, theme) for method in kind.methods))


def _chip(method: type[Method], theme: Theme) -> str:
    style = STYLE.format(grid=theme.grid, text=theme.text)
    return f'<a href="#{method.name}" style="{style}">{swatch(method, theme)}{escape(method.label)}</a>'


class Known(NamedTuple):
    """What is stored of a method."""

    curve: links.Address  # of Explore; empty where nothing was measured
    took: str | None  # how long it took


def show_card(method: type[Method], stored: Known, theme: Theme) -> None:
    """Show all that is known of a method."""
    with st.container(border=True, key=f"methods_card_{method.name}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(swatch(method, theme), width="content")
            st.subheader(method.label, anchor=method.name, help=term("LoRA") if method.name == "lora" else None)
        left, right = st.columns([3, 2], gap="large")
        with left:
            st.markdown(method.idea)
            for formula in method.formulas:
                st.latex(formula)
            st.caption(" · ".join(f"${sign}$: {words}" for sign, words in legend(method).items()))
        with right:
            st.markdown("\n".join(f"- {fact}" for fact in facts(method, stored)))
            _links(method, stored.curve)
        rows = parameter_rows(method)
        if rows:
            with st.expander(f"{len(rows)} parameters" if len(rows) > 1 else "1 parameter"):
                st.markdown(_parameters(rows))


def _links(method: type[Method], where: links.Address) -> None:
    """Lead to the method's curve, where something was measured, and to the form that runs it."""
    with st.container(horizontal=True):
        if where:
            st.page_link("views/explore.py", label="See its curve", icon=":material/show_chart:", query_params=where)
        chain = links.run(method)
        st.page_link("views/run.py", label="Run it", icon=":material/play_circle:", query_params=chain)


def facts(method: type[Method], stored: Known) -> list[str]:
    """Return what a method reads, takes and costs, and its paper, a sentence each in Markdown."""
    found = [f"Reads {READS[method().data_requirement]}", _amounts(method), _work(method)]
    if stored.took:
        found.append(stored.took + (", beside what it observes of the dense model" if method().observations else ""))
    if cited := method.citation:
        part = f"; {cited.part}" if cited.part else ""
        found.append(f"{cited.authors}, {cited.year}: [{cited.title}]({cited.url}){part}")
    return [f"{fact}." for fact in found]


def _amounts(method: type[Method]) -> str:
    if issubclass(method, TransformMethod):
        return "Removes nothing: it comes first, and what the model computes stays the same"
    if not method.takes_amount:
        return "Removes nothing: it takes what an earlier stage has left"
    if method.bit_choices:
        *most, last = map(str, method.bit_choices)
        return f"Keeps {', '.join(most)} or {last} bits of every block weight"
    if on_convolutions(method):
        return "Removes a share of the weights of a model's convolutions"
    if method.factor_choices:
        return (
            f"Makes the embedding {', '.join(f'{factor:g}' for factor in method.factor_choices)} or more times smaller"
        )
    said = "Removes a share of the block weights"
    if method.supports_nm:
        said += ", or leaves N of every M, such as 2:4"
    if method.highest_offered < 1:
        said += f"; up to {format_amount(method.highest_offered, None)} is offered"
    return said + ("; single layers can be chosen" if method.selects_layers else "")


def _work(method: type[Method]) -> str:
    """Say what a method costs on the default model, in tokens that it would read in the same time.

    Of a method that is for no language model, what it is for.
    """
    if on_convolutions(method):
        return f"For {WITH_CONVOLUTIONS}, from a folder; a language model has no convolutions"
    facts, own = shape_from_config(BY_ID[DEFAULT_MODEL].config), method()
    purpose = {"calibration": texts.CALIBRATION, "training": texts.TRAINING, "nothing": None}[own.data_requirement]
    text = texts.selected_text(purpose) if purpose else None
    tokens = own.cost(facts, text) / facts.forward(1, texts.CALIBRATION.window)
    said = f"As much work as reading {_rounded(tokens)} tokens"
    if isinstance(own, TrainingMethod) and text and (steps := own.answers(text)):
        said += f", and {steps:,} steps of the teacher's answers"
    return said + (f", by {text.windows} x {text.window} tokens of text" if text else "")


def _rounded(value: float) -> str:
    """Write a number with two digits: 250, 41,000."""
    digits = len(f"{value:.0f}") - 2
    return f"{round(value, -max(digits, 0)):,.0f}"


def known(methods: Sequence[type[Method]]) -> dict[str, Known]:
    """Return what is stored of methods, by name."""
    return _known(str(data.store().url), data.stamp(), tuple(method.name for method in methods))


@st.cache_data(max_entries=2, show_spinner=False)
def _known(url: str, stamp: tuple, names: tuple[str, ...]) -> dict[str, Known]:
    curves: dict[str, links.Address] = {}
    for model in dict.fromkeys((DEFAULT_MODEL, *data.models())):
        methods = [get_stage(name) for name in names if name not in curves]
        curves |= links.curves(data.frame(model), methods) if methods else {}
    took = _took(data.frame(DEFAULT_MODEL))
    return {name: Known(curves.get(name, {}), took.get(name)) for name in names}


def _took(frame: pd.DataFrame) -> dict[str, str]:
    """Say how long stages took at half of the weights of the default model, by name, where that is stored."""
    half = frame[(frame["ratio"] == DEFAULT_RATIO) & frame["pattern"].isna()]
    found: dict[str, str] = {}
    chains = dict(zip(half["key"], half["chain"], strict=True))
    stored = data.results(chains)
    for key, chain in chains.items():
        if key not in stored:
            continue
        variant, made = stored[key].variant, stored[key].variant.details
        name = variant.stages[-1].method
        if name in found or not made.get("seconds") or (variant.stages[-1].removes and len(variant.stages) > 1):
            continue
        place = "for" if variant.stages[-1].removes else "at the end of"
        found[name] = f"Took {_time(made['seconds'])} {place} `{chain}`, {DEFAULT_MODEL}"
        if device := made.get("device"):
            found[name] += f", on {device}"
        if threads := made.get("threads"):
            found[name] += f" with {threads} thread{'s' if threads > 1 else ''}"
    return found


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.2g} s"


def _parameters(rows: Sequence[dict[str, str]]) -> str:
    """Return a table of parameters in Markdown."""
    lines = ["| parameter | default | allowed | what it does |", "| --- | --- | --- | --- |"]
    for row in rows:
        kind = row["allowed"] if row["allowed"] else row["type"]
        cells = (f"`{row['parameter']}`", row["default"], kind, row["what it does"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
