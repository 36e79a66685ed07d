"""The map of methods by kind and a card for each, built from their declarations and stored results."""

from collections.abc import Hashable, Sequence
from html import escape
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.amount import Ratio
from core.findings.cost import NOT_ALONE, is_alone
from core.findings.rows.missing import highest_offered
from core.methods.base import Method
from core.methods.fields import legend, parameter_rows
from core.models.catalogue import BY_ID
from core.models.shape import shape_from_config
from core.notation.taxonomy import Branch, Kind
from core.registry import STAGES
from core.request.stages import DEFAULT_MODEL, DEFAULT_RATIO
from core.training.base import TrainingMethod
from dashboard import data
from dashboard.charts.elements.style import Theme, swatch
from dashboard.shared import links
from dashboard.shared.glossary import TERMS
from dashboard.shared.job_form import CALIBRATION, TRAINING, selected_text

DATA = {"nothing": "no data", "calibration": "calibration data", "training": "training data"}
STYLE = (
    "display:inline-flex;align-items:center;gap:0.35rem;margin:0 0.35rem 0.35rem 0;padding:0.1rem 0.6rem 0.1rem 0.4rem;"
    "border:1px solid {grid};border-radius:0.5rem;color:{text};text-decoration:none;font-size:0.9rem;max-width:100%"
)


def show_map(tree: Sequence[tuple[Branch, Sequence[Kind]]], theme: Theme) -> None:
    """Show each branch as a box with its kinds and their methods, which link to their cards."""
    style = STYLE.format(grid=theme.grid, text=theme.text)
    sizes = [2 if sum(len(kind.methods) for kind in kinds) > 6 else 1 for _, kinds in tree]
    for column, (branch, kinds) in zip(st.columns(sizes), tree, strict=True):
        with column.container(border=True, height="stretch"):
            st.markdown(f"**{branch.name}**")
            st.caption(branch.about)
            for kind in kinds:
                st.markdown(kind.leaf.name, help=kind.leaf.about)
                chips = [
                    f'<a href="#{method.name}" style="{style}">{swatch(method, theme)}{escape(method.label)}</a>'
                    for method in kind.methods
                ]
                st.html("".join(chips))


class Known(NamedTuple):
    """The stored results of a method."""

    curve: links.Address  # of Explore; empty without results
    took: str | None  # a sentence on its measured time


def show_card(method: type[Method], stored: Known, theme: Theme, unfolded: bool) -> None:
    """Show the card of a method: its name, and its summary, which unfolds the rest."""
    with st.container(border=True, key=f"methods_card_{method.name}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(swatch(method, theme), width="content")
            st.subheader(method.label, anchor=method.name, help=TERMS["LoRA"] if method.name == "lora" else None)
        with st.expander(method.summary, expanded=unfolded):
            left, right = st.columns([3, 2], gap="large")
            with left:
                st.markdown(method.idea)
                for formula in method.formulas:
                    st.latex(formula)
                st.caption(" · ".join(f"${sign}$: {words}" for sign, words in legend(method).items()))
            with right:
                st.markdown("\n".join(f"- {fact}" for fact in facts(method, stored)))
                with st.container(horizontal=True):
                    if stored.curve:
                        links.show("explore", "Show curve", "show_chart", stored.curve)
                    links.show("run", "Run method", "play_circle", links.run(method))
            if rows := parameter_rows(method):
                st.markdown(_parameters(rows))


def facts(method: type[Method], stored: Known) -> list[str]:
    """Return a Markdown sentence each on a method's data, amounts, cost, measured time and paper."""
    found = [f"Uses {DATA[method().data_requirement]}", _amounts(method), _work(method)]
    if stored.took:
        found.append(stored.took + (", plus its statistics of the dense model" if method().observations else ""))
    if cited := method.citation:
        part = f"; {cited.part}" if cited.part else ""
        found.append(f"{cited.authors}, {cited.year}: [{cited.title}]({cited.url}){part}")
    return [f"{fact}." for fact in found]


def _amounts(method: type[Method]) -> str:
    if "rotation" in method.leaves:
        return "Removes nothing; runs first and preserves the model's outputs"
    if not method.takes_amount:
        return "Removes nothing; runs on the output of an earlier stage"
    if "runtime" in method.leaves:
        return "Changes no weight, but how the model computes; runs last"
    if method.bit_choices:
        *most, last = map(str, method.bit_choices)
        return f"Quantises every block weight to {', '.join(most)} or {last} bits"
    if method.factor_choices:
        return (
            f"Makes the embedding {', '.join(f'{factor:g}' for factor in method.factor_choices)} or more times smaller"
        )
    text = "Removes a share of the block weights"
    if method.supports_nm:
        text += ", or keeps N of every M, such as 2:4"
    if (highest := highest_offered(method)) < 1:
        text += f"; Explore offers up to {Ratio(highest).label}"
    return text + ("; can be limited to some layers" if method.selects_layers else "")


def _work(method: type[Method]) -> str:
    """Describe the cost of a method on the default model, in tokens of a forward pass."""
    facts, own = shape_from_config(BY_ID[DEFAULT_MODEL].config), method()
    purpose = {"calibration": CALIBRATION, "training": TRAINING, "nothing": None}[own.data_requirement]
    text = selected_text(purpose) if purpose else None
    tokens = own.cost(facts, text) / facts.forward(1, CALIBRATION.window)
    cost = f"Costs as much as a forward pass over {_rounded(tokens)} tokens"
    if isinstance(own, TrainingMethod) and text and (steps := own.answers(text)):
        cost += f", plus {steps:,} decoding steps of the teacher"
    return cost + (f", with {text.windows} x {text.window} tokens of data" if text else "")


def _rounded(value: float) -> str:
    """Format a number with two significant digits: 250, 41,000."""
    digits = len(f"{value:.0f}") - 2
    return f"{round(value, -max(digits, 0)):,.0f}"


def known() -> dict[str, Known]:
    """Return the stored results of all methods by name."""
    return _known(str(data.store().url), data.stamp())


@st.cache_data(max_entries=2, show_spinner=False)
def _known(url: str, stamp: Hashable) -> dict[str, Known]:
    curves: dict[str, links.Address] = {}
    for model in dict.fromkeys((DEFAULT_MODEL, *data.models())):
        methods = [method for method in STAGES if method.name not in curves]
        curves |= links.curves(data.frame(model), methods) if methods else {}
    took = _took(data.frame(DEFAULT_MODEL))
    return {method.name: Known(curves.get(method.name, {}), took.get(method.name)) for method in STAGES}


def _took(frame: pd.DataFrame) -> dict[str, str]:
    """Describe the stored times of stages at the default ratio of the default model, by method name."""
    half = frame[(frame["ratio"] == DEFAULT_RATIO) & frame["pattern"].isna()]
    found: dict[str, str] = {}
    chains = dict(zip(half["key"], half["chain"], strict=True))
    stored = data.results(chains)
    for key, chain in chains.items():
        if key not in stored:
            continue
        variant, details = stored[key].variant, stored[key].variant.details
        name = variant.stages[-1].method
        if name in found or not details.get("seconds") or (variant.stages[-1].removes and len(variant.stages) > 1):
            continue
        place = "for" if variant.stages[-1].removes else "at the end of"
        seconds = f"{details['seconds']:.0f}" if details["seconds"] >= 1 else f"{details['seconds']:.2g}"
        found[name] = f"Took {seconds} s {place} `{chain}`, {DEFAULT_MODEL}"
        if device := details.get("device"):
            found[name] += f", on {device}"
        if threads := details.get("threads"):
            found[name] += f" with {threads} thread{'s' if threads > 1 else ''}"
        found[name] += "" if is_alone(details) else f", {NOT_ALONE}"
    return found


def _parameters(rows: Sequence[dict[str, str]]) -> str:
    """Return a Markdown table of parameters."""
    lines = ["| parameter | default | allowed | effect |", "| --- | --- | --- | --- |"]
    for row in rows:
        cells = (f"`{row['parameter']}`", row["default"], row["allowed"] or row["type"], row["what it does"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
