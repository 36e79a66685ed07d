"""Addresses of the Explore and Run pages for a method."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.methods.base import Method
from core.methods.preparation import TransformMethod
from core.methods.reconstruction import Reconstruction
from core.notation.chain import DENSE
from core.notation.formatting import label
from core.request.stages import DEFAULT_BITS, DEFAULT_MODEL, DEFAULT_RATIO, default_amount
from dashboard.charts.frames import choices
from dashboard.shared.binding import ALONE
from dashboard.shared.pickers import AXIS, BY_BITS, BY_SIZE, FAMILIES, SHOWN
from dashboard.shared.series import SERIES

CHAIN = "chain"  # parameter of the Run page's address

Address = dict[str, str | list[str]]


def run(method: type[Method]) -> Address:
    """Return the address of the Run page with an example chain of a method.

    The amount is the default ratio, bits or factor. GPTQ follows a transform; a reconstruction or recovery follows
    pruning.
    """
    if method.name == DENSE:
        return {CHAIN: DENSE}
    if method.bit_choices or method.factor_choices:
        return {CHAIN: f"{method.name}@{default_amount(method)}"}
    if issubclass(method, TransformMethod):
        return {CHAIN: f"{method.name}+gptq@{DEFAULT_BITS}"}
    before = "magnitude" if issubclass(method, Reconstruction) else "sparsegpt"
    removing = method.name if method.takes_amount else before
    chain = f"{removing}@{DEFAULT_RATIO:g}"
    return {CHAIN: chain if method.takes_amount else f"{chain}+{method.name}"}


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
        "explore_model": mine["model"].iloc[0],
        "explore_text": text,
        FAMILIES: [family.capitalize() for family in dict.fromkeys(mine["family"])],
        SHOWN: [label(name) for name in dict.fromkeys(mine["method"])],
        SERIES: list(dict.fromkeys(mine["series_label"])),
    }
    made_with = (("explore_calibration", choices.calibrations(mine)), ("explore_training", choices.trainings(mine)))
    return found | {key: texts[0] for key, texts in made_with if texts}
