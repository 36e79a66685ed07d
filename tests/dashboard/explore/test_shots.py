"""Few-shot on Explore: on a store of made-up outcomes, and the prompts of real documents made in the test."""

import pandas as pd
import pytest

from core.base.errors import UserError
from core.data import files
from core.data.cards import card
from core.findings.numbers.fewshot import MEAN
from core.results import Measurement
from dashboard import data
from dashboard.charts import fewshot
from dashboard.explore.fewshot import _named
from tests.dashboard.explore.given import chosen
from tests.dashboard.opened import charts, open_app, read
from tests.synthetic import answered, result

HOWS = (0, 4, "4,selector=nearest", "4,template=instruction")
DOCUMENTS = 12


def put(store, one, seed, fall=0.0):
    """Store a result, with accuracies of two tasks for each prompt and their outcomes."""
    store.put(one)
    numbers = [
        Measurement(
            metric=metric,
            dataset=task,
            value=0.7 - (fall if how else 0.0),
            n=DOCUMENTS,
            protocol={"limit": DOCUMENTS, "fewshot": how, "version": 1, "source": "a test", "dtype": "float32"},
        )
        for task, metric in (("piqa", "acc"), ("arc_easy", "acc"))
        for how in HOWS
    ]
    made, kept = answered(one.model_copy(update={"measurements": tuple(numbers)}), seed)
    for samples in kept.values():
        samples["shots"], samples["instruction"], samples["reasoning"] = [(1, 0, 2, 3)] * DOCUMENTS, "", ""
    for number in made.measurements:
        store.put_samples(made.variant.key, number, kept[number.identity])
    store.put(made)


@pytest.fixture
def shown(store):
    """Dense and one method, with perplexities and few-shot accuracies."""
    for seed, (one, fall) in enumerate([(result("dense", 20.0), 0.0), (result("wanda", 44.0, 0.5), 0.65)]):
        put(store, one, seed, fall)
    return store


@pytest.fixture
def documents(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "tasks"
    folder.mkdir(parents=True)
    pd.DataFrame(
        [{"goal": f"Feed cat {i}", "sol1": f"Give <b>food</b> {i}", "sol2": "Paint", "label": 0} for i in range(20)]
    ).to_parquet(folder / "piqa_validation.parquet")
    monkeypatch.setenv("SLIMSCOPE_DATA", str(folder.parent))


def control(app, key):
    (found,) = (one for one in (*app.get("button_group"), *app.selectbox, *app.toggle) if one.key == key)
    return found


def table(app):
    (found,) = (one.value for one in app.dataframe if "Change from zero-shot" in one.value)
    return found


def test_few_shot_shows_the_mean_first_and_the_cost_of_compression(shown):
    app = open_app(explore_mode="Few-shot")
    (chart,) = [one.proto.spec for one in charts(app)]
    for text in ("Mean of 2 tasks", "Drawn at random", "Most like the question", "After an instruction", "Wanda 50 %"):
        assert text in chart
    rows = table(app)
    assert rows["Prompt"].tolist() == ["zero-shot", "drawn at random", "most like the question", "after an instruction"]
    assert set(rows["Compression"][1:]) == {"costs more"} and rows["Compression"][0] == ""
    text = read(app)
    finding = "Few-shot examples change the cost of compression: no significant difference from zero-shot in 0 of 3"
    assert finding in text and "Compression costs more in 3 and less in 0." in text
    order = [one.type if one.type == "plotly_chart" else str(getattr(one, "value", "")) for one in app.main]
    assert next(place for place, one in enumerate(order) if finding in one) < order.index("plotly_chart")
    control(app, "explore_shots_task").set_value("arc_easy").run()
    assert "ARC-e, accuracy" in charts(app)[0].proto.spec and not app.exception


def test_each_seed_has_its_own_line_and_zero_shot_charts_exclude_few_shot_results(shown):
    put(shown, result("wanda", 46.0, 0.5, seed=1), 7, 0.3)
    rows = data.frame("smollm2-135m")
    found = _named(data.fewshot_table("smollm2-135m"), rows)
    costs = fewshot.table(found[(found["dataset"] == MEAN) & ~found["dense"]])
    assert len(set(costs["Variant"])) == 2 and len(costs) == 2 * len(HOWS)
    assert set(rows["prompts"][rows["metric"] == "acc"]) == {"", "selector=nearest", "template=instruction"}
    assert len(chosen().scores) and not (chosen().scores["fewshot"] > 0).any()


def test_the_prompt_marks_its_few_shot_examples(shown, documents):
    app = open_app(explore_mode="Few-shot", explore_prompt_task="piqa")
    control(app, "explore_prompt_shown").set_value(True).run()
    written = [one.proto.body for one in app.get("html")]
    (prompt,) = (one for one in written if 'title="example"' in one)
    (choices,) = (one for one in written if one.startswith("<li>"))
    order = [prompt.index(f"Feed cat {DOCUMENTS + shot}\n") for shot in (1, 0, 2, 3)] + [prompt.index("Feed cat 0\n")]
    assert order == sorted(order) and prompt.count('title="example"') == 4
    assert "&lt;b&gt;food" in prompt and "<b>food" not in prompt
    assert choices.index("Give &lt;b&gt;food&lt;/b&gt; 0") < choices.index("Paint") and not app.exception


def test_a_prompt_without_its_documents_shows_a_message(shown, monkeypatch, tmp_path):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "nothing"))
    app = open_app(explore_mode="Few-shot")
    control(app, "explore_prompt_shown").set_value(True).run()
    assert any("are not on this machine" in one.value for one in app.caption) and not app.exception
    fetched = []
    monkeypatch.setattr(files, "get", fetched.append)
    button = app.button(key="explore_prompt_fetch")
    assert button.label in {f"Fetch {card(task).label}" for task in ("piqa", "arc_easy")}
    button.click().run()
    assert len(fetched) >= 1 and not app.exception

    def fails(name):
        raise UserError("The Hugging Face Hub cannot be reached.")

    monkeypatch.setattr(files, "get", fails)
    app.button(key="explore_prompt_fetch").click().run()
    assert "cannot be reached" in app.warning[0].value and not app.exception
    monkeypatch.setattr(data, "results", lambda keys: {})
    app.run()
    assert any("This result was deleted" in one.value for one in app.caption) and not app.exception
