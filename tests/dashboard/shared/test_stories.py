"""The stories: their sentences, the series that each step shows, and their links."""

import json
import re

import pandas as pd
import pytest

from core.findings.best import choose
from core.findings.numbers.reporting import ratio_words
from core.notation.formatting import format_number
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.shared.stories import tour
from dashboard.shared.stories.story import STEP, STORY
from tests.dashboard.opened import charts, open_app, read
from tests.synthetic import result

NAMES = ["choose", "cliff", "recovery", "models"]


@pytest.fixture(scope="module")
def by_name(bundled):
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
        ("cliff", 2, ["Magnitude", "Wanda", "SparseGPT"]),
        ("recovery", 1, ["SparseGPT", "SparseGPT + LoRA #b241"]),
        ("models", 2, ["Magnitude", "SparseGPT"]),
    ],
)
def test_a_step_shows_its_series_alone_and_their_numbers(name, place, series, by_name):
    story = by_name[name]
    step = story.steps[place]
    app = open_app(**story.address(place))
    assert series_in(app) == set(series)
    rows = pd.concat([data.frame(model) for model in (DEFAULT_MODEL, "gemma3-270m")])
    of = dict(zip(rows["name"], rows["series_label"], strict=True))
    table = app.dataframe[0].value
    table = table.assign(Series=table["Method"] if "Method" in table else [of[one] for one in table["Variant"]])
    assert set(table["Series"]) - {"Dense"} == set(series)
    assert step.write() in read(app)
    half = table[(table["Amount"] == "50 %") & table["Series"].isin(series)]
    if name == "cliff":
        assert all(format_number(value) in step.write() for value in half["Perplexity"][half["Series"] != "Magnitude"])
        assert ratio_words(half.loc[half["Series"] == "Magnitude", "Times dense"].iloc[0]) in step.write()
    if name == "recovery":
        assert all(format_number(value) in step.write() for value in half["Perplexity"])
    links, number = titles(app), place + 1
    assert f"Step {number} of {len(story.steps)}" in read(app)
    assert ("Back" in links, "Next" in links) == (number > 1, number < len(story.steps))
    assert any(label.startswith("Next story: ") for label in links)
    for label, other in (("Back", number - 1), ("Next", number + 1)):
        if label in links:
            assert {f"{STORY}={name}", f"{STEP}={other}"} <= set(links[label].query_string.split("&"))
    app.button(key="story_close").click().run()
    assert STORY not in app.query_params and "Next" not in titles(app) and not app.exception
    assert series_in(app) == set(series)  # the view stays


def series_in(app):
    """Return the series of the first chart, without the name of a model."""
    return {re.sub(f", ({DEFAULT_MODEL}|gemma3-270m)$", "", one) for one in names_in(app)}


def test_the_table_choose_is_a_step_and_a_row_opens_its_point(by_name):
    story = by_name["choose"]
    app = open_app(**story.address(0))
    table = next(one.value for one in app.dataframe if ("", choose.SIZE) in one.value)
    wanted = choose.table(tour.chosen(DEFAULT_MODEL, DEFAULT_MODEL))
    assert [": ".join(filter(None, names)).lower() for names in table] == [name.lower() for name in wanted]
    assert table.to_numpy().tolist() == wanted.to_numpy().tolist()
    assert len(table) == len(choose.SIZES) and tour.chosen(DEFAULT_MODEL, DEFAULT_MODEL).advice in read(app)


@pytest.mark.matrix(size=None)
@pytest.mark.parametrize("size", tour.ALONE_AT)
def test_a_step_of_a_size_agrees_with_the_budget_below(size, by_name):
    story = by_name["choose"]
    app = open_app(**story.address(1 + tour.ALONE_AT.index(size)))
    assert app.number_input(key="explore_limit_packed_mb").value == size
    fits = next(one.value for one in app.dataframe if "Chain" in one.value)
    text = story.steps[1 + tour.ALONE_AT.index(size)].write().replace("\\", "")
    if "Misses by" in fits:
        assert "No measured chain" in text
        return
    named = re.findall(r"\*\*(.+?)\*\*", text)
    best = fits.iloc[0]
    assert any(one.startswith(best["Variant"]) for one in named), (named, best["Variant"])


def test_a_step_or_story_that_is_not_there_shows_the_nearest_and_about_has_the_titles(filled):
    app = open_app(**{STORY: "cliff", STEP: "99"})
    assert re.search(r"Step [34] of [34]", read(app)) and "Back" in titles(app) and "Next" not in titles(app)
    app = open_app(**{STORY: "cliff", STEP: "x"})
    assert "Step 1 of" in read(app) and "Back" not in titles(app)
    app = open_app(**{STORY: "nope"})
    assert "nope" in app.info[0].value
    app = open_app("about/view.py")
    for story in tour.stories(data.models(), data.frame):
        link = titles(app)[story.title]
        assert f"{STORY}={story.name}" in link.query_string and f"{STEP}=1" in link.query_string and not link.help


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
