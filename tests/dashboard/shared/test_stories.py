"""The stories: their sentences, the series that each step shows, and their links."""

import json
import re

import pytest

from core.analysis.reporting import ratio_words
from core.notation.formatting import format_number
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.charts.frames import choose
from dashboard.shared.stories import choosing, tour
from dashboard.shared.stories.story import STEP, STORY
from tests.dashboard.opened import charts, open_app, read
from tests.dashboard.synthetic import result

NAMES = ["choose", "cliff", "recovery", "models"]
ALONE = {"cliff": ["Magnitude", "Wanda", "SparseGPT"], "recovery": ["SparseGPT"], "models": ["SparseGPT", "Magnitude"]}


@pytest.fixture
def by_name(fresh):
    return {story.name: story for story in tour.stories(data.models(), data.frame)}


def names_in(app):
    """Return the series of the first chart, without the dense model, by their legend or hover texts."""
    traces = json.loads(charts(app)[0].proto.spec)["data"]
    return {one["name"] for one in traces if one.get("customdata") and one.get("name") != "Dense"}


def titles(app):
    return {link.proto.label: link.proto for link in app.get("page_link")}


def test_bundled_results_have_stories_of_three_to_five_steps_with_two_sentences(by_name):
    assert list(by_name) == NAMES
    for story in by_name.values():
        assert 3 <= len(story.steps) <= 5
        for step in story.steps:
            text = re.sub(r"\*\*.*?\*\*", "X", step.write())
            assert len(re.findall(r"[a-zA-Z0-9)\]%]\.(?: [A-Z]|$)", text)) == 2, text


@pytest.mark.parametrize(
    ("name", "place", "series"),
    [
        ("cliff", 0, ["Magnitude"]),
        ("cliff", 2, ["Magnitude", "Wanda", "SparseGPT"]),
        ("recovery", 1, ["SparseGPT", "SparseGPT + LoRA"]),
        ("models", 2, ["Magnitude", "SparseGPT"]),
    ],
)
def test_a_step_shows_its_series_alone_and_their_numbers(name, place, series, by_name):
    step = by_name[name].steps[place]
    app = open_app(**by_name[name].address(place))
    drawn = {re.sub(f", ({DEFAULT_MODEL}|gemma3-270m)$", "", one) for one in names_in(app)}
    assert drawn == set(series)
    table = app.dataframe[0].value
    assert set(table["Method"]) - {"Dense"} == set(series)
    assert step.write() in read(app)
    half = table[(table["Amount"] == "50 %") & table["Method"].isin(series)]
    if name == "cliff" and place:
        assert all(format_number(value) in step.write() for value in half["Perplexity"][half["Method"] != "Magnitude"])
        assert ratio_words(half.loc[half["Method"] == "Magnitude", "Times dense"].iloc[0]) in step.write()
    if name == "recovery":
        assert all(format_number(value) in step.write() for value in half["Perplexity"])


def test_a_step_links_its_neighbours_and_closes(by_name):
    app = open_app(**by_name["cliff"].address(1))
    links = titles(app)
    assert "Step 2 of 4" in read(app) and {"Back", "Next", "Next story: Recovery by fine-tuning"} <= set(links)
    assert f"{STORY}=cliff" in links["Next"].query_string and f"{STEP}=3" in links["Next"].query_string
    assert f"{STEP}=1" in links["Back"].query_string
    app.button(key="story_close").click().run()
    assert STORY not in app.query_params and "The cliff at 50 %" in titles(app) and not app.exception
    assert names_in(app) == {"Magnitude"}  # the view stays


def test_the_first_step_has_no_back_and_the_last_no_next(by_name):
    last = len(by_name["recovery"].steps) - 1
    assert "Back" not in titles(open_app(**by_name["recovery"].address(0)))
    links = titles(open_app(**by_name["recovery"].address(last)))
    assert "Next" not in links and "Next story: On another model" in links


def test_titles_on_explore_and_in_about_open_the_first_steps_without_hidden_sentences(filled, by_name):
    app = open_app()
    for story in tour.stories(data.models(), data.frame):
        link = titles(app)[story.title]
        assert f"{STORY}={story.name}" in link.query_string and f"{STEP}=1" in link.query_string and not link.help
    app = open_app("methods/view.py")
    app.button(key="about").click().run()
    assert "The cliff at 50 %" in titles(app)


@pytest.mark.parametrize("step", ["0", "99", "x"])
def test_a_step_that_is_not_there_shows_the_nearest(step, filled):
    app = open_app(**{STORY: "cliff", STEP: step})
    assert re.search(r"Step [14] of [34]", read(app)) and not app.exception


def test_a_story_that_is_not_there_is_named(filled):
    app = open_app(**{STORY: "nope"})
    assert "nope" in app.info[0].value and "The cliff at 50 %" in titles(app)


def test_a_story_link_of_an_earlier_version_shows_the_same_series(fresh):
    app = open_app(
        alone="true",
        explore_model=DEFAULT_MODEL,
        explore_text="wikitext2, 16 x 2048 tokens",
        explore_families="Unstructured",
        explore_methods=["Magnitude", "Wanda", "SparseGPT"],
        explore_series=["Magnitude", "Wanda", "SparseGPT"],
        explore_at="50 %",
    )
    assert set(app.dataframe[0].value["Method"]) >= {"Magnitude", "Wanda", "SparseGPT"} and not app.exception


def test_stories_without_supporting_results_are_omitted(filled):
    def names():
        data.show_now()  # pages show continuous changes every two seconds
        return [story.name for story in tour.stories(data.models(), data.frame)]

    assert names() == ["choose", "cliff"]
    for recovery, value in (("lora", 500.0), ("distill-white", 500.0)):  # a training that makes it worse
        filled.put(result("sparsegpt", value, 0.5, recovery=recovery))
    assert "recovery" not in names()
    for recovery in ("lora", "distill-white"):
        filled.put(result("sparsegpt", 22.0, 0.5, recovery=recovery))
    assert "recovery" in names()


def test_an_empty_store_has_no_stories(store):
    assert tour.stories([], data.frame) == []


def test_the_table_choose_is_a_step_and_a_row_opens_its_point(fresh):
    story = next(one for one in tour.stories(data.models(), data.frame) if one.name == "choose")
    app = open_app(**story.address(0))
    table = next(one.value for one in app.dataframe if ("", choose.SIZE) in one.value)
    wanted = choose.table(choosing.chosen(DEFAULT_MODEL, DEFAULT_MODEL).choices)
    assert [": ".join(filter(None, names)).lower() for names in table] == [name.lower() for name in wanted]
    assert table.to_numpy().tolist() == wanted.to_numpy().tolist()
    assert len(table) == len(choose.SIZES) and choosing.chosen(DEFAULT_MODEL, DEFAULT_MODEL).advice in read(app)


@pytest.mark.parametrize("size", choosing.ALONE_AT)
def test_a_step_of_a_size_agrees_with_the_budget_below(size, fresh):
    story = next(one for one in tour.stories(data.models(), data.frame) if one.name == "choose")
    app = open_app(**story.address(1 + choosing.ALONE_AT.index(size)))
    assert app.number_input(key="explore_limit_packed_mb").value == size
    fits = next(one.value for one in app.dataframe if "Chain" in one.value)
    text = story.steps[1 + choosing.ALONE_AT.index(size)].write().replace("\\", "")
    if "Misses by" in fits:
        assert "No measured chain" in text
        return
    named = re.findall(r"\*\*(.+?)\*\*", text)
    best = fits.iloc[0]
    assert any(one.startswith(best["Method"].partition(", c4-sample")[0]) for one in named), (named, best["Method"])
