"""Points that are not measured yet, which Explore offers to run, on a store of made-up results."""

from core.notation.chain import format_chain
from dashboard import data
from dashboard.explore import missing
from tests.dashboard.opened import captions, control, open_app
from tests.synthetic import chained, result


def opened(app):
    """Open the list of unmeasured points."""
    app.session_state[missing.OPEN] = True
    return app.run()


def test_explore_offers_the_other_amounts_of_a_chain(filled):
    filled.put(chained("magnitude@0.5+adaprune", 100.0))
    filled.delete(result("magnitude", 24.0, 0.2).variant.key)
    filled.put(chained("sparsegpt@0.5+lora", 30.0))
    app = open_app(explore_methods=["Magnitude"])
    assert "9 points are not measured yet" in [box.label for box in app.expander]
    assert "explore_run_missing" not in {button.key for button in app.button}  # nothing is estimated before it is asked
    opened(app)
    boxes = control(app, "explore_missing_AdaPrune")
    assert boxes.value == [] and len(boxes.options) == 8 and "2:4" in boxes.options
    assert control(app, "explore_missing_Magnitude").value == ["20 %"]
    boxes.set_value(["10 %", "2:4"]).run()
    button = app.button(key="explore_run_missing")
    assert button.label.startswith("Run these 3 points (")
    button.click().run()
    jobs = data.queue().jobs()
    chains = [format_chain(job.spec.variant.stages) for job in jobs]
    assert sorted(chains) == ["magnitude@0.1+adaprune", "magnitude@0.2", "magnitude@2:4+adaprune"]
    assert {str(text) for job in jobs for text in job.spec.perplexity} == {"passages-eval@2048:16"}
    assert "explore_run_missing" not in {button.key for button in app.button}
    app = opened(open_app(explore_methods=["SparseGPT"]))  # a training takes too long to offer many
    assert "explore_run_missing" not in {button.key for button in app.button}
    assert not app.exception


def test_explore_offers_to_run_the_missing_seven_tasks(filled):
    app = open_app(explore_at="40 %", explore_methods=["SparseGPT"])
    button = app.button(key="explore_run_tasks")
    assert button.label.startswith("Run the seven tasks at 40 % with SparseGPT (")
    button.click().run()
    (job,) = data.queue().jobs()
    assert [str(task) for task in job.spec.tasks][:2] == ["boolq:100", "piqa:100"] and len(job.spec.tasks) == 7
    assert job.spec.variant.stages[0].ratio == 0.4 and not app.exception


def test_points_on_a_missing_text_run_on_one_that_is_here_or_are_shown(store, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    monkeypatch.setattr("core.data.files.find", lambda name: None)
    for one in (result("dense", 20.0, corpus="wikitext2"), result("wanda", 25.0, 0.3, corpus="wikitext2")):
        store.put(one)
    for one in (result("dense", 20.0), result("wanda", 25.0, 0.4)):  # on passages-eval
        store.put(one)
    app = opened(open_app(explore_text="WikiText-2, 16 x 2048 tokens"))
    assert "not available for download: WikiText-2." in captions(app)
    there = control(app, "explore_missing_Wanda")
    assert "50 %" in there.options and "40 %" not in there.options  # which is measured on passages-eval
    there.set_value(["50 %"]).run()
    button = app.button(key="explore_run_missing")
    assert button.label.startswith("Run this point on passages-eval (")
    button.click().run()
    (job,) = data.queue().jobs()
    assert [str(text) for text in job.spec.perplexity] == ["passages-eval@2048:16"]
    assert app.toggle(key="explore_elsewhere").value
    for ratio in (0.1, 0.2, 0.5, 0.6, 0.7):
        store.put(result("wanda", 25.0, ratio))
    app = opened(open_app(explore_text="WikiText-2, 16 x 2048 tokens"))
    app.button(key="explore_show_elsewhere").click().run()
    assert app.toggle(key="explore_elsewhere").value and not app.exception


def test_an_offer_needs_every_text_of_the_chain(store, monkeypatch):
    monkeypatch.setattr("core.cache.hub.online", lambda: False)
    texts = ("passages-calibration:16x2048", "c4-sample:16x2048")
    own = "wanda@0.5,text={}+adaprune,text={}".format(*texts)
    monkeypatch.setattr("core.data.files.find", lambda name: None)
    elsewhere, here = (
        missing.runs_of("smollm2-135m", [missing.Wanted(chain)], missing.Measures())
        for chain in (own, own.replace(texts[1], texts[0]))
    )
    assert "c4-sample is not on this machine" in elsewhere.error and here.error is None


def test_points_that_cannot_run_show_the_reason(store):
    for one in (result("dense", 20.0, model="no-such-model"), result("wanda", 25.0, 0.3, model="no-such-model")):
        store.put(one)
    app = opened(open_app())
    assert "cannot run these points: Unknown model 'no-such-model'" in captions(app)
