"""Addresses of pages: of Run and Explore for a method, of Explore for own variants, of Inside and of Laws."""

from collections.abc import Collection, Hashable, Sequence

import pandas as pd
import streamlit as st
from sqlalchemy import URL

from core.amount import Amount
from core.findings.axes import PACKED, RATIO, Axis
from core.findings.best.budget import ACCURACY
from core.findings.best.qualities import QUALITIES
from core.findings.curve import default_series
from core.findings.rows import choices, naming, points, zeroshot
from core.findings.rows.other_texts import other_texts
from core.findings.rows.zeroshot import Documents
from core.methods.base import Method
from core.notation.chain import DENSE
from core.notation.formatting import label
from core.registry import METHODS
from core.request.stages import DEFAULT_BITS, DEFAULT_MODEL, DEFAULT_RATIO, default_amount
from dashboard import data
from dashboard.shared.binding import ALONE
from dashboard.shared.pickers import AT, AXIS, BY_BITS, BY_SIZE, ELSEWHERE, FAMILIES, MODEL, SERIES, SHOWN, TEXT

CHAIN = "chain"  # parameter of the Run page's address

Address = dict[str, str | list[str]]


def show(page: str, label: str, icon: str, address: Address | None = None, help: str | None = None) -> None:
    """Show a link to a page, such as `run`, with the name of its icon; no address opens the page as it was."""
    st.page_link(f"{page}/view.py", label=label, icon=f":material/{icon}:", help=help, query_params=address)


def run(method: type[Method]) -> Address:
    """Return the address of the Run page with an example chain of a method.

    The amount is the default ratio, bits or factor. GPTQ follows a transform; a reconstruction or recovery follows
    pruning.
    """
    if method.name == DENSE:
        return {CHAIN: DENSE}
    if method.bit_choices or method.factor_choices:
        return {CHAIN: f"{method.name}@{default_amount(method)}"}
    if "rotation" in method.leaves:
        return {CHAIN: f"{method.name}+gptq@{DEFAULT_BITS}"}
    before = "magnitude" if method.family == "reconstruction" else "sparsegpt"
    removing = method.name if method.takes_amount else before
    chain = f"{removing}@{DEFAULT_RATIO:g}"
    return {CHAIN: chain if method.takes_amount else f"{chain}+{method.name}"}


def inside(key: str, model: str, other: str | None = None, tab: str = "Layers") -> Address:
    """Return the address of Inside for a variant of a model, and for another one to compare it with, by their keys."""
    names = naming.variant_options(data.frame(model))
    chosen = {name: names[one] for name, one in (("inside_variant", key), ("inside_other", other)) if one in names}
    return {ALONE: "true", "inside_tab": tab, "inside_model": model, **chosen}


def compared(keys: Sequence[str], model: str) -> Address:
    """Return the address of Inside that compares variants of a model by their keys; the first is the baseline."""
    names = naming.variant_options(data.frame(model))
    there = [names[key] for key in keys if key in names]
    return {ALONE: "true", "inside_tab": "Compare", "inside_model": model, "inside_compared": there}


def answers(model: str) -> Address:
    """Return the address of Inside with answers of a model and its variants."""
    return {ALONE: "true", "inside_tab": "Answers", "inside_model": model}


def laws(model: str, quality: str, text: str | None, documents: Documents) -> Address:
    """Return the address of Laws for a model and a quality, by its column; perplexities if the quality has no law.

    `text` is the value of the text field, if known, and `documents` are those of the accuracies.
    """
    address: Address = {ALONE: "true", "laws_model": model}
    if quality == ACCURACY:
        return address | {"laws_quality": QUALITIES[ACCURACY].label, "laws_documents": documents.label}
    return address | ({"laws_text": text} if text else {})


def curves(frame: pd.DataFrame, methods: Sequence[type[Method]]) -> dict[str, Address]:
    """Return the address of each method's curve on Explore by name, without methods that have no results.

    The curve is of the default model, if that has results, and of the text with most points. Methods without an amount
    are shown in chains, in the family with most points. The axis is bits per weight for quantisation and packed size
    for embeddings.
    """
    rows = choices.of_methods(frame[(frame["metric"] == "perplexity") & frame["window"].notna()])
    texts = {model: choices.texts(frame[frame["model"] == model]) for model in rows["model"].unique()}
    found = {}
    for method in methods:
        mine = rows[rows["parts"] == method.name]
        if not method.takes_amount:
            contains = rows["chain"].map(lambda chain, wanted=method.name: wanted in _names(chain))
            mine = rows[contains & (rows["method"] != DENSE)]
        if mine.empty:
            continue
        pruned = choices.by_share(mine)
        along: Address = {AXIS: BY_SIZE if method.factor_choices else BY_BITS} if pruned.empty else {}
        mine = mine if pruned.empty else pruned
        mine = _most(mine, "model", DEFAULT_MODEL)
        mine = _most(mine, "family")
        counts = mine.groupby(["dataset", "protocol_id"]).size()
        named = texts[mine["model"].iloc[0]]
        text = max(named, key=lambda name: counts.get(named[name], 0))
        corpus, protocol = named[text]
        read = mine[(mine["dataset"] == corpus) & (mine["protocol_id"] == protocol)]
        found[method.name] = shown(read, text) | along
    return found


def _names(chain: str) -> set[str]:
    """Return the names of a chain's stages."""
    return {stage.partition(",")[0].partition("@")[0] for stage in chain.split("+")}


def _most(rows: pd.DataFrame, column: str, first: str | None = None) -> pd.DataFrame:
    """Return the rows whose column is `first`, or else its most frequent value."""
    kinds = rows[column].value_counts()
    return rows[rows[column] == (first if first in kinds else kinds.index[0])]


def shown(mine: pd.DataFrame, text: str) -> Address:
    """Return the address of Explore with these perplexities of one model; `text` is the value of its text field."""
    found: Address = {
        ALONE: "true",
        MODEL: mine["model"].iloc[0],
        TEXT: text,
        FAMILIES: [family.capitalize() for family in dict.fromkeys(mine["family"])],
        SHOWN: [label(name) for name in dict.fromkeys(mine["method"])],
        SERIES: list(dict.fromkeys(mine["series_label"])),
    }
    made_with = (("explore_calibration", choices.calibrations(mine)), ("explore_training", choices.trainings(mine)))
    return found | {key: texts[0] for key, texts in made_with if texts}


def _first_view(frame: pd.DataFrame, axis: Axis, methods: list[str], corpus: str, protocol: str) -> pd.DataFrame:
    """Return the perplexities of the curve that Explore first shows on a text, with the default data."""
    rows = choices.shown(choices.on_text(choices.curved(frame, axis), corpus, protocol), methods)
    known = zeroshot.scored(frame)
    texts = (choices.calibrations(rows, known), choices.trainings(rows, known))
    return choices.filter_by_text(rows, *(next(iter(one), None) for one in texts))


def own(model: str, keys: Collection[str]) -> Address:
    """Return the address of Explore with one's own variants of a model, selected beside the bundled results.

    They are on one of their texts if it has bundled variants of their families, too. Otherwise they are hollow beside
    the curves of the model's first text.
    """
    return _own(data.store().url, data.stamp(), model, tuple(keys), data.corpora_here()[0])


def show_own(model: str, keys: Collection[str], label: str = "Show on Explore") -> None:
    """Show the link to the address of `own`."""
    show("explore", label, "show_chart", own(model, keys))


@st.cache_data(max_entries=32, show_spinner=False)  # the list of jobs asks for it every second
def _own(url: URL, stamp: Hashable, model: str, keys: tuple[str, ...], here: str) -> Address:
    frame, theirs = data.frame(model), data.store().local_keys()
    mine = frame[frame["key"].isin(keys) & ~points.is_dense(frame)]
    found: Address = {ALONE: "true", MODEL: model}
    if mine.empty:
        return found
    first = mine.iloc[0]
    if amount := Amount.from_columns(first["ratio"], first["pattern"]):
        found[AT] = amount.label
    axis = PACKED if choices.by_share(mine).empty else RATIO
    if axis == PACKED:
        found[AXIS] = BY_SIZE
    there = set(choices.curved(frame, axis)["method"])
    placed = [method for method in METHODS if method.takes_amount and method.name in there]
    families = [method.family for method in placed if method.family in set(mine["family"])]
    if families:
        found[FAMILIES] = [family.capitalize() for family in dict.fromkeys(families)]
    methods = [one.name for one in placed if one.family in (families or [placed[0].family])]
    texts = choices.texts(frame, here)
    read = set(mine["protocol_id"])
    for text, (corpus, protocol) in texts.items():
        measured = _first_view(frame, axis, methods, corpus, protocol) if protocol in read else frame[:0]
        bundled = measured[~points.is_dense(measured) & ~measured["key"].isin(theirs)]
        if len(bundled) and measured["key"].isin(keys).any():
            return found | {TEXT: text, SERIES: _series(measured, measured, keys)}
    for text, (corpus, protocol) in [*texts.items()][:1]:
        measured = _first_view(frame, axis, methods, corpus, protocol)
        elsewhere = other_texts(frame, measured, methods, axis)
        if not points.is_dense(measured).all() and elsewhere["key"].isin(keys).any():
            return found | {TEXT: text, ELSEWHERE: "true", SERIES: _series(measured, elsewhere, keys)}
    found[SERIES] = list(mine["series_label"].unique())
    alone = [text for text, (_, protocol) in texts.items() if protocol in read]
    return found | {TEXT: alone[0]} if alone else found


def _series(measured: pd.DataFrame, rows: pd.DataFrame, keys: Collection[str]) -> list[str]:
    """Return the default series of a curve and those of variants among `rows`, with the series that these continue."""
    default = default_series(points.split_points(measured)[1])
    mine = rows[rows["key"].isin(keys)]
    parents = [name for name in mine["parent_label"] if name in set(measured["series_label"])]
    return list(dict.fromkeys([*default, *parents, *mine["series_label"]]))
