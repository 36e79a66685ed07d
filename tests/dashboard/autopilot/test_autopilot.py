"""The Autopilot page: its question, a search that runs, and a certificate."""

import pytest

from core.errors import UserError
from core.search import session
from core.search.autopilot import Chosen, Refined
from core.search.certificate import Certificate, Judged, Paired
from core.search.question import Question
from core.search.session import SearchState
from core.search.space import Restrictions
from core.search.trials import Tried
from tests.dashboard.opened import charts, open_app, read

QUESTION = Question(model="smollm2-135m", max_mb=90, minutes=60)
TRIED = (
    Tried("gptq@4bit", "a" * 64, 169_000_000, 0.31, 1e-4, 2, True),
    Tried("gptq@4bit+rtn@8bit,on=embedding", "b" * 64, 85_700_000, 0.29, 1e-4, 16, False),
    Tried("rtn@4bit+rtn@8bit,on=embedding", "c" * 64, 85_600_000, 9.0, 1e-4, 2, True),
)
OPENING = "12 of 20 chains bring smollm2-135m below 90 MB."
FRONT = ((60.0, 1.0), (85.0, 0.3), (240.0, 0.001))


def row(role, chain, packed, **more):
    return Judged(role=role, chain=chain, key="b" * 64, packed_mb=packed, perplexity=20.0, **more)


CERTIFICATE = Certificate(
    rows=(
        row("winner", TRIED[1].chain, 85.7, accuracy=0.4),
        row("runner-up", "awq@4bit+rtn@8bit,on=embedding", 85.7, ratio=Paired(value=1.1, low=None, high=None)),
        row(
            "dense",
            "dense",
            269.0,
            ratio=Paired(value=1.3, low=1.29, high=1.31),
            accuracy=0.42,
            gain=Paired(value=-0.02, low=-0.031, high=-0.01),
        ),
    ),
    documents=100,
    **{"tried": 3, "eliminated": 2, "excluded": 10, "chains": 20, "fits": True, "judge": "wikitext2@2048:16"},
)


def state(**more):
    times, flags = (600.0, 3600.0, 120.0), (False, False, False)
    known = SearchState("name", QUESTION, OPENING, TRIED, (), None, FRONT, *times, *flags, None, "")
    return known._replace(**more)


@pytest.fixture
def seen(fresh, monkeypatch):
    """Let the page see searches; return the function that sets them."""
    shown = []
    monkeypatch.setattr(session, "states", lambda url: list(shown))
    monkeypatch.setattr("dashboard.autopilot.progress.states", session.states)
    return shown.append


def words(app):
    return " ".join(
        [read(app), *(one.value for kind in ("caption", "info", "success", "error") for one in app.get(kind))]
    )


def test_without_a_search_the_page_asks_a_question(seen):
    app = open_app("autopilot/view.py")
    assert "No search has run yet" in words(app) and "The dense model takes 269 MB" in words(app)
    assert not charts(app) and not app.button(key="autopilot_start").disabled


def test_the_question_on_the_screen_is_searched(seen, monkeypatch):
    asked = []
    monkeypatch.setattr(session, "start", lambda question, store: asked.append(question) or "name")
    app = open_app("autopilot/view.py")
    app.number_input(key="autopilot_mb").set_value(75.0).run()
    app.number_input(key="autopilot_minutes").set_value(5.0).run()
    app.selectbox(key="autopilot_only").set_value("gguf").run()
    app.toggle(key="autopilot_training").set_value(False).run()
    app.multiselect(key="autopilot_methods").set_value(["wanda", "gptq"]).run()
    app.button(key="autopilot_start").click().run()
    restrictions = Restrictions(training=False, methods=("wanda", "gptq"), only="gguf")
    assert asked == [Question(model="smollm2-135m", max_mb=75, minutes=5, restrictions=restrictions)]


def test_a_refusal_is_shown_at_the_form(seen, monkeypatch):
    def refuse(question, store):
        raise UserError("No chain brings the model below 1 MB.")

    monkeypatch.setattr(session, "start", refuse)
    app = open_app("autopilot/view.py")
    app.button(key="autopilot_start").click().run()
    assert [error.value for error in app.error] == ["No chain brings the model below 1 MB\\."]


def test_a_running_search_shows_its_trials_and_can_be_stopped(seen, monkeypatch):
    stopped = []
    monkeypatch.setattr("dashboard.autopilot.progress.stop", lambda url, name: stopped.append(name))
    seen(state(alive=True, running=(("awq@4bit", Chosen(0.3, 0.05, 400.0)),)))
    app = open_app("autopilot/view.py")
    shown = words(app)
    assert "Best so far: `gptq@4bit+rtn@8bit,on=embedding`, 85.7 MB, 1.34 times dense." in shown
    assert OPENING in shown.replace("\\", "") and "3 chains tried, about 52 min left." in shown
    assert "Running: `awq@4bit`. Expected: 1.35 times dense (1.22 to 1.49), in about 7 min." in shown
    assert len(charts(app)) == 1
    app.button(key="autopilot_stop").click().run()
    assert stopped == ["name"]


def test_a_search_is_named_by_its_question(seen):
    restrictions = Restrictions(training=False, methods=("gptq", "rtn"), only="gguf")
    seen(state(question=QUESTION.model_copy(update={"restrictions": restrictions}), alive=True))
    app = open_app("autopilot/view.py")
    (name,) = app.selectbox(key="autopilot_shown").options
    assert name == "smollm2-135m below 90 MB · for GGUF · GPTQ, RTN · no training"


def test_a_search_that_is_stopping_or_judging_says_so(seen):
    seen(state(alive=True, stopping=True, judging=True))
    app = open_app("autopilot/view.py")
    assert "Judging the best chains." in words(app) and "The search stops" in words(app)
    assert app.button(key="autopilot_stop").disabled


def test_a_certificate_names_the_winner_with_its_interval_and_command(seen):
    seen(state(certificate=CERTIFICATE))
    app = open_app("autopilot/view.py")
    shown = words(app).replace("\\", "")
    assert "gptq@4bit+rtn@8bit,on=embedding` takes 85.7 MB." in shown and "Best so far" not in shown
    assert "Judged on wikitext2@2048:16" in shown and "The budget excludes 10 of 20 chains." in shown
    (code,) = app.get("code")
    assert code.value == "slimscope run smollm2-135m gptq@4bit+rtn@8bit,on=embedding --save FOLDER"
    table = next(one.value for one in app.dataframe if "Winner over it" in one.value)
    assert list(table["Winner over it"]) == ["", "1.1", "1.3 [1.29, 1.31]"]
    assert list(table["Winner minus it"]) == ["", "", "-2.0 [-3.1, -1.0]"]
    assert "Accuracy: the mean of seven tasks with 100 documents each." in shown


@pytest.mark.parametrize("judging", [False, True])
def test_a_refinement_is_shown_until_the_judgement(seen, judging):
    refined = Refined(TRIED[1].chain, "3:1;7:-1", 12, 3, 0.987)
    seen(state(alive=True, refinement=refined, judging=judging))
    shown = f"Refining `{TRIED[1].chain}`: 12 switches between blocks tried, 3 kept, 0.987 times its perplexity."
    assert (shown in words(open_app("autopilot/view.py"))) is not judging


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"certificate": CERTIFICATE.model_copy(update={"rows": (), "fits": False})}, "No stored variant fits either."),
        ({}, "This search was interrupted. 3 chains tried."),
        ({"problem": "The text is gone."}, "The text is gone\\."),
        ({"tried": (), "alive": True}, "0 chains tried, "),
    ],
)
def test_every_end_has_its_sentence(seen, more, sentence):
    seen(state(**more))
    assert sentence in words(open_app("autopilot/view.py"))


def test_without_optuna_the_page_says_how_to_install_it(fresh, monkeypatch):
    monkeypatch.setattr("core.search.study.find_spec", lambda name: None)
    assert "`pip install 'slimscope[autopilot]'`" in words(open_app("autopilot/view.py"))
