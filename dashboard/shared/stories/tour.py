"""Stories on the pages: their titles as links, and the steps of one above Explore's charts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.findings.rows import choices
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.shared.stories.choosing import which_method
from dashboard.shared.stories.pruning import cliff, on_another, recovery
from dashboard.shared.stories.story import STEP, STORY, OpenPoints, Story, StoryData, story_data

EXPLORE = "explore/view.py"


def stories(models: Sequence[str], frame: Callable[[str], pd.DataFrame]) -> list[Story]:
    """Return the stories of the default model, each on the first text with enough results.

    `models` are the models with own results, those with most variants first. A story compares one of them with the
    default. `frame` returns the rows of a model and is called only for the models needed.
    """
    mine = frame(DEFAULT_MODEL)
    rows = mine[(mine["metric"] == "perplexity") & mine["window"].notna()]
    if rows.empty:
        return []
    first = rows["model"].iloc[0]
    others = [model for model in reversed(models) if model != first]  # few variants are read fast
    writers: list[Callable[[StoryData], Story | None]]
    writers = [cliff, recovery, partial(on_another, others=others, frame=frame)]
    found: dict[int, Story] = {}
    for text, (corpus, protocol) in choices.texts(mine).items():
        results = story_data(rows[(rows["dataset"] == corpus) & (rows["protocol_id"] == protocol)], text)
        for place, write in enumerate(writers):
            if results and place not in found and (story := write(results)):
                found[place] = story
        if len(found) == len(writers):
            break
    choosing = which_method([first, *others])
    return [*([choosing] if choosing else []), *(found[place] for place in sorted(found))]


def show_titles() -> None:
    """Show a link to the first step of each story."""
    with st.container(horizontal=True):  # without a key: About shows them beside Explore
        for story in _cached(str(data.store().url), data.stamp()):
            _link(story.title, story, 0, ":material/auto_stories:")


def show_tour(open_points: OpenPoints) -> None:
    """Show the step of the address with the links to its neighbours, or else the titles of the stories.

    `open_points` opens the points of the given keys that are ticked in a table, by the name of the table.
    """
    name = st.query_params.get(STORY)
    found = _cached(str(data.store().url), data.stamp()) if name else []
    place = next((place for place, story in enumerate(found) if story.name == name), None)
    if place is None:
        if name:
            st.info(f"This link asks for a story without results here: {name}.")
        show_titles()
        return
    story, following = found[place], found[(place + 1) % len(found)]
    typed = st.query_params.get(STEP, "1")
    number = min(max(int(typed) if typed.isdecimal() else 1, 1), len(story.steps))
    step = story.steps[number - 1]
    with st.container(border=True, key="story"):
        st.markdown(f"**{story.title}** :small[Step {number} of {len(story.steps)}]")
        st.markdown(step.write())
        if step.show:
            step.show(open_points)
        with st.container(horizontal=True, vertical_alignment="center", key="story_steps"):
            if number > 1:
                _link("Back", story, number - 2, ":material/arrow_back:")
            if number < len(story.steps):
                _link("Next", story, number, ":material/arrow_forward:")
            if following is not story:
                _link(f"Next story: {following.title}", following, 0, ":material/auto_stories:")
            st.button("Close", type="tertiary", key="story_close", icon=":material/close:", on_click=_close)


def _link(label: str, story: Story, place: int, icon: str) -> None:
    st.page_link(EXPLORE, label=label, icon=icon, query_params=story.address(place), width="content")


def _close() -> None:
    """Remove the story from the address; the view stays."""
    for name in (STORY, STEP):
        st.query_params.pop(name, None)


@st.cache_resource(max_entries=2, show_spinner=False)
def _cached(url: str, stamp: Hashable) -> list[Story]:
    return stories(data.models(), data.frame)
