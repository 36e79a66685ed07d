"""The headline of Explore, By amount, against a plain search over all bundled rows."""

import random

import pytest

from core.findings.numbers.reporting import ratio_words
from core.findings.rows import points
from tests.bundled import bundled_rows
from tests.dashboard.opened import open_app

TEXTS = {"smollm2-135m": (2048, 16), "gemma3-270m": (2048, 8)}  # window and windows of WikiText-2
FAMILIES = ["unstructured", "structured", "low rank"]
USUAL = ("c4-sample:16x2048", "c4-sample:2048x256", "c4-sample:512x256")


def selections(count):
    """Draw models, families and amounts that some variant has."""
    draw = random.Random(68)
    rows = {model: usual_rows(model) for model in TEXTS}
    for _ in range(count):
        model = draw.choice(list(TEXTS))
        families = draw.sample(FAMILIES, draw.randint(1, len(FAMILIES)))
        there = rows[model][rows[model]["family"].isin(families)]
        amounts = sorted(one for one in set(there["amount_label"].dropna()) if "%" in one or ":" in one)
        if amounts:
            yield model, families, draw.choice(amounts), there, rows[model]


def usual_rows(model):
    """Return the perplexities on the first text of the dense model and of variants with the usual data."""
    window, windows = TEXTS[model]
    rows = bundled_rows(model)
    rows = rows[(rows["metric"] == "perplexity") & (rows["dataset"] == "wikitext2") & (rows["window"] == window)]
    rows = rows[(rows["windows"] == windows) & ~rows["spread_windows"].astype(bool) & rows["layers"].isna()]
    for column in ("calibration", "train"):
        rows = rows[rows[column].isna() | rows[column].isin(["", *USUAL])]
    return rows[~rows["own_grid"].astype(bool)].assign(amount_label=points.removals)


@pytest.mark.parametrize("count", [3, pytest.param(100, marks=pytest.mark.full)])
def test_the_headline_names_the_lowest_of_all_rows(count, bundled):
    for model, families, at, there, rows in selections(count):
        dense = rows.loc[rows["chain"] == "dense", "value"].iloc[0]
        means = there[there["amount_label"] == at].groupby("series_label")["value"].mean().sort_values()
        app = open_app(explore_model=model, explore_families=[one.capitalize() for one in families], explore_at=at)
        title = app.title[0].value
        times = f"{ratio_words(means.iloc[0] / dense)} times the dense perplexity"
        assert title.endswith(f"{means.index[0]} has {times}"), (model, families, at, title, means.head(3))
