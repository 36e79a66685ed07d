"""The ways from a method to where it is shown and where it is run, as addresses of those pages."""

from __future__ import annotations

import pandas as pd

from core.chain import DENSE
from core.methods.base import Method, Reconstruction
from core.request.stages import DEFAULT_MODEL, DEFAULT_RATIO
from core.words import label
from dashboard.charts import points
from dashboard.panels.chain_form import CHAIN
from dashboard.panels.pickers import FAMILIES, SHOWN, THEN

Address = dict[str, str | list[str]]
CARRIERS: dict[bool, str] = {True: "magnitude", False: "sparsegpt"}  # what a reconstruction, or a training, follows


def example(method: type[Method]) -> str:
    """Return a chain that shows a method: at half of the weights, and after a pruning where it removes nothing."""
    if method.takes_amount:
        return f"{method.name}@{DEFAULT_RATIO:g}"
    before = CARRIERS[issubclass(method, Reconstruction)]
    return f"{before}@{DEFAULT_RATIO:g}+{method.name}"


def run(method: type[Method]) -> Address:
    """Return the address of a method on the Run page."""
    return {CHAIN: example(method)}


def curve(frame: pd.DataFrame, method: type[Method]) -> Address:
    """Return the address of a method's curve on Explore; empty where nothing of it was measured.

    It is of the default model where that has some, and of the text with most points. What removes nothing is shown
    beside what it followed, in the family in which it has most points.
    """
    rows = frame[(frame["metric"] == "perplexity") & frame["window"].notna()]
    mine = rows[rows["parts"] == method.name]
    if not method.takes_amount:
        with_it = points.followers(rows).map(lambda names: method.name in names)
        mine = rows[with_it & (rows["method"] != DENSE)]
    for column, wanted in (("model", DEFAULT_MODEL), ("family", None)):
        kinds = mine[column].value_counts()
        if kinds.empty:
            return {}
        mine = mine[mine[column] == (wanted if wanted in kinds else kinds.index[0])]
    return shown(frame, mine)


def shown(frame: pd.DataFrame, mine: pd.DataFrame) -> Address:
    """Return the address of Explore that shows these rows of one model, on the text that has most of them."""
    model = mine["model"].iloc[0]
    counts = mine.groupby(["dataset", "protocol_id"]).size()
    named = points.texts(frame[frame["model"] == model])
    text = max(named, key=lambda name: counts.get(named[name], 0))
    mine = mine[(mine["dataset"] == named[text][0]) & (mine["protocol_id"] == named[text][1])]
    found: Address = {
        "explore_model": model,
        "explore_text": text,
        FAMILIES: [family.capitalize() for family in dict.fromkeys(mine["family"])],
        SHOWN: [label(name) for name in dict.fromkeys(mine["method"])],
    }
    after = set().union(*points.followers(mine))
    if then := [points.FOLLOWERS[name] for name in points.FOLLOWERS if name in after]:
        found[THEN] = then
    for key, texts in (
        ("explore_calibration", points.calibrations(mine)),
        ("explore_training", points.trainings(mine)),
    ):
        if texts:
            found[key] = texts[0]
    return found
