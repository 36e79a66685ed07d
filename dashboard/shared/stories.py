"""Introductory stories: two sentences with numbers of stored results, and a link to their chart."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.amount import Amount, Ratio
from core.data.texts import called
from core.notation.chain import DENSE
from core.notation.formatting import format_amount, format_number
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.charts import multiples
from dashboard.charts.elements import figures
from dashboard.charts.frames import choices, points
from dashboard.shared import links

HALF = 0.5
NARROWEST = 240  # px of a story
BROKEN = 5  # minimum ratio of magnitude's perplexity to the others' for the first story
BUDGET = 2 / 3  # of the dense model's packed size
# Parameters of Explore's address that stories add to those of `links`.
AT, MODE, MOST_PACKED = "explore_at", "explore_mode", "explore_limit_packed_mb"


class Story(NamedTuple):
    """A title, its text and the address of its chart on Explore."""

    title: str
    text: str
    address: links.Address


@dataclass(frozen=True)
class StoryData:
    """The results of one model on one text."""

    text: str  # value of Explore's text field
    corpus: str  # display name
    rows: pd.DataFrame  # compressed variants with the most frequent calibration and training data
    every: pd.DataFrame  # compressed variants with any data
    dense: pd.Series

    def at_half(self, *parts: str) -> list[float]:
        """Return the lowest perplexity at 50 % for each of these `parts`; empty if one has no result."""
        half = self.rows[(self.rows["ratio"] == HALF) & self.rows["pattern"].isna()]
        lowest = _averaged(half).groupby("parts")["value"].min()
        return [float(lowest[one]) for one in parts] if set(parts) <= set(lowest.index) else []

    def address(self, shown: pd.Series, **more: str) -> links.Address:
        """Return the address of Explore with the rows of this mask."""
        return links.shown(self.rows[shown], self.text) | more


def stories(models: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> list[Story]:
    """Return the stories of the default model, each on the first text with enough results.

    `models` are the models with own results, one of which a story compares with the default. `frame` returns the rows
    of a model and is called only for the models needed.
    """
    mine = frame(DEFAULT_MODEL)
    rows = mine[(mine["metric"] == "perplexity") & mine["window"].notna()]
    if rows.empty:
        return []
    others = [model for model in models if model != rows["model"].iloc[0]]
    another = partial(on_another, others=others, frame=frame)
    writers: list[Callable[[StoryData], Story | None]] = [cliff, trained_back, budget, another]
    found: dict[int, Story] = {}
    for text, (corpus, protocol) in choices.texts(mine).items():
        results = _story_data(rows[(rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)], text)
        for place, write in enumerate(writers):
            if results and place not in found and (story := write(results)):
                found[place] = story
        if len(found) == len(writers):
            break
    return [found[place] for place in sorted(found)]


def cliff(results: StoryData) -> Story | None:
    """Write that magnitude pruning diverges where methods with calibration data do not."""
    names = "magnitude", "wanda", "sparsegpt"
    values = results.at_half(*names)
    if not values or values[0] < BROKEN * max(values[1:]):
        return None
    dense, magnitude, wanda, sparsegpt = map(format_number, (results.dense["value"], *values))
    text = f"At a pruning ratio of 50 %, magnitude pruning raises perplexity on {results.corpus} from {dense} to "
    text += f"{magnitude}. Wanda ({wanda}) and SparseGPT ({sparsegpt}) choose the weights with calibration data."
    where = results.address(results.rows["parts"].isin(names), **{AT: Ratio(HALF).label})
    return Story("The cliff at 50 %", text, where)


def trained_back(results: StoryData) -> Story | None:
    """Write how much perplexity fine-tuning recovers after pruning."""
    names = "sparsegpt", "sparsegpt+lora", "sparsegpt+distill-white"
    values = results.at_half(*names)
    if not values or max(values[1:]) >= values[0]:
        return None
    dense, pruned, lora, white = map(format_number, (results.dense["value"], *values))
    text = f"SparseGPT, 50 % raises perplexity on {results.corpus} from {dense} to {pruned}. "
    text += f"Fine-tuning lowers it to {lora} with LoRA and to {white} with white-box distillation."
    where = results.address(results.rows["parts"].isin(names), **{AT: Ratio(HALF).label})
    return Story("Recovery by fine-tuning", text, where)


def budget(results: StoryData) -> Story | None:
    """Write which variant within a packed size has the lowest perplexity."""
    whole = float(results.dense["packed_mb"])
    most = round(BUDGET * whole, -1)
    compressed = choices.of_methods(results.every)
    fits = _averaged(compressed[compressed["packed_mb"] <= most]).sort_values("value")
    if fits.empty:
        return None
    best = fits.iloc[0]
    amount = Amount.from_columns(best["ratio"], best["pattern"])
    text = f"The packed size of the dense model is {whole:.0f} MB. Among its variants of at most {most:.0f} MB, "
    text += f"{_plain(best['series_label'])}, {format_amount(amount)} has the lowest perplexity "
    text += f"on {results.corpus}: "
    text += f"{format_number(best['value'])}, compared with {format_number(results.dense['value'])} for dense."
    where: links.Address = {
        "explore_model": DEFAULT_MODEL,
        "explore_text": results.text,
        MODE: "Trade-off",
        MOST_PACKED: f"{most:g}",
    }
    return Story("What fits a budget?", text, where)


def on_another(results: StoryData, others: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> Story | None:
    """Write what two methods cost another model, as multiples of its own dense perplexity."""
    names, first = ("sparsegpt", "magnitude"), results.dense
    mine = [value / first["value"] for value in results.at_half(*names)]
    for model in others if mine else ():
        rows = multiples.comparable_rows(frame(model), first["dataset"], int(first["window"]), figures.RATIO)
        other = _story_data(rows, results.text) if len(rows) else None
        if other is None or not (values := other.at_half(*names)):
            continue
        (sparse, zeroed), (its_sparse, its_zeroed) = mine, (value / other.dense["value"] for value in values)
        text = f"SparseGPT, 50 % raises perplexity on {results.corpus} "
        text += f"to {format_number(sparse)} times dense on {DEFAULT_MODEL} "
        text += f"and to {format_number(its_sparse)} times on {model}. "
        text += f"Magnitude, 50 % raises it to {format_number(zeroed)} and {format_number(its_zeroed)} times."
        where = results.address(results.rows["parts"].isin(names), **{MODE: "Several models"})
        return Story("On another model", text, where | {"explore_models_shown": [DEFAULT_MODEL, model]})
    return None


def _story_data(rows: pd.DataFrame, text: str) -> StoryData | None:
    """Return the data of stories from the rows on one text; None without the dense model."""
    mine = choices.by_share(choices.filter_by_main_text(rows))
    dense = mine[points.is_dense(mine)]
    if dense.empty:
        return None
    compressed, every = (these[these["method"] != DENSE] for these in (mine, rows))
    return StoryData(text, called(rows["dataset"].iloc[0]), compressed, every, dense.iloc[0])


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per point, with the mean over its seeds."""
    point = ["series_label", "parts", "method", "family", "ratio", "pattern"]
    return rows.groupby(point, dropna=False, sort=False)["value"].mean().reset_index()


def _plain(series: str) -> str:
    """Return a series' name without brackets and their content."""
    return re.sub(r" \([^()]*\)", "", series)


def show_stories() -> None:
    """Show the stories in one row, or stacked in a narrow window."""
    _show(_cached(str(data.store().url), data.stamp()))


def show_first() -> None:
    """Show links to the stories in one line at the top of Explore."""
    with st.container(horizontal=True, key="stories"):
        for story in _cached(str(data.store().url), data.stamp()):
            st.page_link(
                "explore/view.py",
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
                    "explore/view.py", label="Show chart", icon=":material/show_chart:", query_params=story.address
                )


@st.cache_data(max_entries=2, show_spinner=False)
def _cached(url: str, stamp: Hashable) -> list[Story]:
    return stories(data.models(), data.frame)
