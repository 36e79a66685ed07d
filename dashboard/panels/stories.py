"""What to see first: two sentences each, with numbers of stored rows, and a way to the chart that shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.chain import DENSE
from core.data.texts import called
from core.formatting import format_amount, format_number
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.charts import choices, figures, multiples, points
from dashboard.panels import links

HALF = 0.5
NARROWEST = 240  # px of a story
BROKEN = 5  # times the perplexity of the others, from which on a method has fallen off the cliff
BUDGET = 2 / 3  # of the dense model's packed size
# What of Explore's address a story sets besides what `ways` does.
AT, MODE, MOST_PACKED = "explore_at", "explore_mode", "explore_limit_packed_mb"


class Story(NamedTuple):
    title: str
    text: str  # two sentences
    address: links.Address  # of Explore


@dataclass(frozen=True)
class StoryData:
    """What was measured of the default model on one text: with one calibration and one training text, and with any."""

    text: str  # as Explore names it
    corpus: str  # as papers call it
    rows: pd.DataFrame  # of compressed variants
    every: pd.DataFrame  # of those that were made with any texts
    dense: pd.Series

    def at_half(self, *parts: str) -> list[float]:
        """Return the lowest perplexity at half of the weights of each that is made of these parts, where all are."""
        half = self.rows[(self.rows["ratio"] == HALF) & self.rows["pattern"].isna()]
        lowest = _averaged(half).groupby("parts")["value"].min()
        return [float(lowest[one]) for one in parts] if set(parts) <= set(lowest.index) else []

    def address(self, shown: pd.Series, **more: str) -> links.Address:
        """Return the address of Explore that shows these of the rows."""
        return links.shown(self.rows[shown], self.text) | more


def stories(models: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> list[Story]:
    """Return the stories that the default model's rows tell, each of the first text whose rows do, in their order.

    `models` are those that were measured here, of which one story tells another beside the default; `frame` returns the
    rows of one, and is asked for no more of them than it takes.
    """
    mine = frame(DEFAULT_MODEL)
    rows = mine[(mine["metric"] == "perplexity") & mine["window"].notna()]
    if rows.empty:
        return []
    others = [model for model in models if model != rows["model"].iloc[0]]
    beside = partial(on_another, others=others, frame=frame)
    tellers: list[Callable[[StoryData], Story | None]] = [cliff, trained_back, budget, beside]
    found: dict[int, Story] = {}
    for text, (corpus, protocol) in choices.texts(mine).items():
        told = _told(rows[(rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)], text)
        for place, tell in enumerate(tellers):
            if told and place not in found and (story := tell(told)):
                found[place] = story
        if len(found) == len(tellers):
            break
    return [found[place] for place in sorted(found)]


def cliff(told: StoryData) -> Story | None:
    """Magnitude breaks where methods that read a text do not."""
    names = "magnitude", "wanda", "sparsegpt"
    values = told.at_half(*names)
    if not values or values[0] < BROKEN * max(values[1:]):
        return None
    dense, magnitude, wanda, sparsegpt = map(format_number, (told.dense["value"], *values))
    text = f"With half of the block weights gone, magnitude pruning takes perplexity on {told.corpus} from {dense} to "
    text += f"{magnitude}. Wanda ({wanda}) and SparseGPT ({sparsegpt}) remove as many, but read a text first to see "
    text += "which ones matter."
    where = told.address(told.rows["parts"].isin(names), **{AT: format_amount(HALF, None)})
    return Story("The cliff at 50 %", text, where)


def trained_back(told: StoryData) -> Story | None:
    """What a training wins back of what a pruning has lost."""
    names = "sparsegpt", "sparsegpt+lora", "sparsegpt+distill-white"
    values = told.at_half(*names)
    if not values or max(values[1:]) >= values[0]:
        return None
    dense, pruned, lora, white = map(format_number, (told.dense["value"], *values))
    text = f"SparseGPT at 50 % leaves perplexity on {told.corpus} at {pruned}, where the dense model has {dense}. "
    text += f"Training what is left brings it back to {lora} with LoRA and to {white} with white-box distillation."
    where = told.address(told.rows["parts"].isin(names), **{AT: format_amount(HALF, None)})
    return Story("Trained back", text, where)


def budget(told: StoryData) -> Story | None:
    """What is best among all that is small enough."""
    whole = float(told.dense["packed_mb"])
    most = round(BUDGET * whole, -1)
    made = choices.of_methods(told.every)
    fits = _averaged(made[made["packed_mb"] <= most]).sort_values("value")
    if fits.empty:
        return None
    best = fits.iloc[0]
    pattern = best["pattern"] if isinstance(best["pattern"], str) else None
    text = f"Packed, the dense model takes {whole:.0f} MB. Of all that methods made of it at {most:.0f} MB or less, "
    text += f"{_plain(best['label'])} at {format_amount(best['ratio'], pattern)} has the lowest perplexity "
    text += f"on {told.corpus}: "
    text += f"{format_number(best['value'])}, where dense has {format_number(told.dense['value'])}."
    where: links.Address = {
        "explore_model": DEFAULT_MODEL,
        "explore_text": told.text,
        MODE: "Trade-off",
        MOST_PACKED: f"{most:g}",
    }
    return Story("What fits a budget?", text, where)


def on_another(told: StoryData, others: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> Story | None:
    """What the same two prunings cost another model, as multiples of its own dense perplexity."""
    names, first = ("sparsegpt", "magnitude"), told.dense
    mine = [value / first["value"] for value in told.at_half(*names)]
    for model in others if mine else ():
        rows = multiples.comparable_rows(frame(model), first["dataset"], int(first["window"]), figures.RATIO)
        other = _told(rows, told.text) if len(rows) else None
        if other is None or not (values := other.at_half(*names)):
            continue
        (sparse, zeroed), (its_sparse, its_zeroed) = mine, (value / other.dense["value"] for value in values)
        text = f"With half of the block weights gone, SparseGPT takes perplexity on {told.corpus} "
        text += f"to {format_number(sparse)} times the dense model's on {DEFAULT_MODEL} "
        text += f"and to {format_number(its_sparse)} times on {model}. "
        text += f"Magnitude pruning takes it to {format_number(zeroed)} and {format_number(its_zeroed)} times."
        where = told.address(told.rows["parts"].isin(names), **{MODE: "Several models"})
        return Story("On another model", text, where | {"explore_models_shown": [DEFAULT_MODEL, model]})
    return None


def _told(rows: pd.DataFrame, text: str) -> StoryData | None:
    """Return what rows on one text tell, made with the texts that most of them are; None without the dense model."""
    mine = choices.by_share(choices.filter_by_main_text(rows))
    dense = mine[points.is_dense(mine)]
    if dense.empty:
        return None
    alike, every = (these[these["method"] != DENSE] for these in (mine, rows))
    return StoryData(text, called(rows["dataset"].iloc[0]), alike, every, dense.iloc[0])


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a point, with the mean over its seeds."""
    point = ["label", "parts", "method", "family", "ratio", "pattern"]
    return rows.groupby(point, dropna=False, sort=False)["value"].mean().reset_index()


def _plain(series: str) -> str:
    """Return a series' name without what stands in brackets."""
    return re.sub(r" \([^()]*\)", "", series)


def show_stories() -> None:
    """Show the stories beside each other, or under each other where that is too narrow."""
    _show(_kept(str(data.store().url), data.stamp()))


def show_first() -> None:
    """Lead to the stories from the top of Explore, in one line, so that the chart is seen at once."""
    with st.container(horizontal=True, key="stories"):
        for story in _kept(str(data.store().url), data.stamp()):
            st.page_link(
                "views/explore.py",
                label=story.title,
                icon=":material/auto_stories:",
                query_params=story.address,
                help=story.text,
                width="content",
            )


def _show(found: Sequence[Story]) -> None:
    if not found:
        return
    with st.grid(len(found), min_column_width=NARROWEST, border=True) as grid:
        for story in found:
            with grid.cell():
                st.markdown(f"**{story.title}**  \n{story.text}")
                st.page_link(
                    "views/explore.py", label="See it", icon=":material/show_chart:", query_params=story.address
                )


@st.cache_data(max_entries=2, show_spinner=False)
def _kept(url: str, stamp: tuple) -> list[Story]:
    return stories(data.models(), data.frame)
