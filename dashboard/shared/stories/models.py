"""The story on a second model: what two methods cost it, as multiples of its own dense perplexity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from core.analysis.reporting import ratio_words
from core.findings import axes
from core.request.stages import DEFAULT_MODEL
from dashboard.charts import multiples
from dashboard.shared.links import Address
from dashboard.shared.pickers import MODELS
from dashboard.shared.stories.story import HALF, MODE, Step, Story, StoryData, story_data

SERIES = "explore_multiples_shown"  # key of the view's field
NAMES = "sparsegpt", "magnitude"


def on_another(results: StoryData, others: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> Story | None:
    """Write what two methods cost two models."""
    first, values = results.dense, results.at(HALF, *NAMES)
    for model in others if values else ():
        rows = multiples.comparable_rows(frame(model), first["dataset"], int(first["window"]), axes.RATIO)
        other = story_data(rows, results.text) if len(rows) else None
        if other is None or not (theirs := other.at(HALF, *NAMES)):
            continue
        mine = [value / first["value"] for value in values]
        return _story(results, model, mine, [value / other.dense["value"] for value in theirs])
    return None


def _story(results: StoryData, model: str, mine: Sequence[float], theirs: Sequence[float]) -> Story:
    """Write the steps from both models' multiples of dense, of each of `NAMES`."""
    labels = [results.series(name) for name in NAMES]
    texts = [
        f"{label}, 50 % raises perplexity on {results.corpus} to {ratio_words(one)} times dense on {DEFAULT_MODEL} and"
        f" to {ratio_words(two)} times on {model}. Multiples of each model's own dense perplexity can share an axis."
        for label, one, two in zip(labels, mine, theirs, strict=True)
    ]
    texts[1] = texts[1].partition(" Multiples")[0] + f" That is {_more(mine)} and {_more(theirs)} times {labels[0]}'s."
    same = (mine[0] < mine[1]) == (theirs[0] < theirs[1])
    order = "the same on both models" if same else "not the same on both models"
    low = [labels[0] if one < two else labels[1] for one, two in (mine, theirs)]
    who = f"{low[0]} has the lower perplexity" if same else f"{low[0]} has the lower one here, {low[1]} there"
    texts.append(f"The order of the two methods is {order}. At 50 % {who}.")
    shown = (NAMES[:1], NAMES[1:], NAMES)
    return Story(
        "models",
        "On another model",
        [_step(text, results, model, names) for text, names in zip(texts, shown, strict=True)],
    )


def _step(text: str, results: StoryData, model: str, names: Sequence[str]) -> Step:
    where: Address = {MODE: "Several models", MODELS: [DEFAULT_MODEL, model]}
    series: Address = {SERIES: [results.series(name) for name in names]}
    return Step(lambda: text, results.shown(*names) | where | series)


def _more(values: Sequence[float]) -> str:
    return ratio_words(values[1] / values[0])
