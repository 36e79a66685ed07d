"""Stories on the pages: their titles as links, and the steps of one above Explore's charts.

"Which method should I use?" has the table "Choose", and the answer within some packed sizes.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.findings.best import choose
from core.findings.best.choose import SIZES, ChoiceFinding
from core.findings.numbers.reporting import UNADJUSTED
from core.findings.rows import choices
from core.findings.rows.points import is_dense
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.exports.files import export_name, model_part
from dashboard.shared import widgets
from dashboard.shared.binding import ALONE
from dashboard.shared.links import Address
from dashboard.shared.literal import literal
from dashboard.shared.pickers import MODEL, TEXT
from dashboard.shared.stories.story import (
    MODE,
    STEP,
    STORY,
    OpenPoints,
    Step,
    Story,
    StoryData,
    cliff,
    on_another,
    recovery,
    story_data,
)

MOST_PACKED = "explore_limit_packed_mb"  # key of Trade-off's field
ALONE_AT = SIZES[1::2]  # sizes with a step of their own
TABLE = "explore_choose"  # key
PART_WIDTHS = {choose.CHAIN: 190, choose.LOSS: 90, choose.COST: 70, choose.HOLDS: 60}  # px
WIDTHS = {choose.SIZE: 65} | {column: PART_WIDTHS[column.rpartition(widgets.GROUP)[2]] for column in choose.COLUMNS[1:]}
LINES = 4  # of the longest name of a chain
CAPTION = (
    f"the best chain within each packed size, with and without training. In brackets: {UNADJUSTED} interval of the"
    " paired difference to dense. Time and memory: of making it; times beside other programs do not count."
    " Holds on: how many of the models with this chain have it as their best one within the same share of the dense"
    " size. A chain that is not significantly different from the best counts, too (paired test at 5 %)."
)
EXPLORE = "explore/view.py"


def which_method(models: Sequence[str]) -> Story | None:
    """Write which chain to use within a packed size; `models` have own results, the story's model first."""
    first, *others = models
    if not _is_sized(first):
        return None
    second = next((model for model in others if _is_sized(model)), None)
    steps = [
        Step(partial(_advice, first, first), _address(first, SIZES[0]), partial(_show_table, first, first)),
        *(Step(partial(_within, first, size), _address(first, size)) for size in ALONE_AT),
    ]
    if second:
        steps.append(Step(partial(_advice, second, first), _address(second), partial(_show_table, second, first)))
    return Story("choose", "Which method should I use?", steps)


def _is_sized(model: str) -> bool:
    """Return whether a model has a dense and a compressed variant with a packed size on its first text."""
    frame = data.frame(model)
    text = next(iter(choices.texts(frame).values()), (None, None))
    rows = choices.of_methods(choices.on_text(frame, *text))
    sized = rows["packed_mb"].notna()
    return bool((sized & is_dense(rows)).any() and (sized & ~is_dense(rows)).any())


def _address(model: str, most: float | None = None) -> Address:
    """Return the address of a model's Trade-off within `most` MB, if given."""
    text = next(iter(choices.texts(data.frame(model))))
    found: Address = {ALONE: "true", MODEL: model, TEXT: text, MODE: "By size"}
    return found | ({} if most is None else {MOST_PACKED: f"{most:g}"})


def _advice(model: str, first: str) -> str:
    return chosen(model, first).advice


def _within(model: str, size: float) -> str:
    """Return a sentence on the best variant within a size without training, and one with training."""
    found = [one for one in chosen(model, model).choices if one.most == size]
    if all(one.best is None for one in found):
        return f"No measured chain of {literal(model)} fits {size:g} MB. The list below has the nearest ones."
    return " ".join(one.sentence(literal) for one in found)


def _show_table(model: str, first: str, open_points: OpenPoints) -> None:
    found = chosen(model, first)
    by_size = found.by_size
    widgets.show_table(
        TABLE,
        choose.table(found),
        f"{model}: {CAPTION} {found.machines}".rstrip(),
        {},
        file=export_name(model_part(model), "choose"),
        widths=WIDTHS,
        lines=LINES,
        on_select=lambda rows: open_points(
            TABLE, [str(one.best["key"]) for row in rows for one in by_size[row] if one.best is not None]
        ),
    )


def chosen(model: str, first: str) -> ChoiceFinding:
    """Return the choices of a model; its sizes are the shares that `SIZES` are of the dense model `first`."""
    others = [other for other in data.models() if other != model and _is_sized(other)]
    models = [choose.measured(one, data.frame(one), data) for one in (model, *others)]
    return choose.choose(models, choose.sizes_of(models[0], next(one for one in models if one.model == first)))


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
    """Show the step of the address with the links to its neighbours, if it has one.

    `open_points` opens the points of the given keys that are ticked in a table, by the name of the table.
    """
    name = st.query_params.get(STORY)
    found = _cached(str(data.store().url), data.stamp()) if name else []
    place = next((place for place, story in enumerate(found) if story.name == name), None)
    if place is None:
        if name:
            st.info(f"This link asks for a story without results here: {name}.")
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
