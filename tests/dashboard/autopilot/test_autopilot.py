"""The Autopilot page: its question, a search that runs, and a certificate."""

import pytest

from core.base.errors import UserError
from core.search import session
from core.search.certificate import Certificate, Judged, Paired, StoredFit
from core.search.question import Question
from core.search.record import SearchState
from core.search.space import Restrictions
from core.search.trials import Chosen, Trial, Tried
from tests.dashboard.opened import charts, open_app, read

QUESTION = Question(model="smollm2-135m", max_mb=90, minutes=60)
TRIED = [
    Tried("gptq@4bit", "a" * 64, 169_000_000, 0.31, 1e-4, 2, True),
    Tried("gptq@4bit+rtn@8bit,on=embedding", "b" * 64, 85_700_000, 0.29, 1e-4, 16, False),
    Tried("rtn@4bit+rtn@8bit,on=embedding", "c" * 64, 85_600_000, 9.0, 1e-4, 2, True),
]
TRIALS = tuple(Trial(chain=one.chain, outcome=one) for one in TRIED)
OPENING = "12 of 20 chains bring smollm2-135m below 90 MB."
FRONT = ((60.0, 1.0), (85.0, 0.3), (240.0, 0.001))


def row(role, chain, packed, **more):
    return Judged(role=role, chain=chain, key="b" * 64, megabytes=packed, perplexity=20.0, **more)


LOST = Paired(value=-0.02, low=-0.031, high=-0.01)
CERTIFICATE = Certificate(
    rows=(
        row("winner", TRIED[1].chain, 85.7, accuracy=0.4),
        row("runner-up", "awq@4bit+rtn@8bit,on=embedding", 85.7, ratio=Paired(value=1.1, low=None, high=None)),
        row("dense", "dense", 269.0, accuracy=0.42, ratio=Paired(value=1.3, low=1.29, high=1.31), gain=LOST),
    ),
    documents=100,
    tasks=("piqa", "arc_easy"),
    **{"tried": 3, "eliminated": 2, "excluded": 10, "chains": 20, "fits": True, "judge": "wikitext2@2048:16"},
)


def state(**more):
    times = {"seconds": 600.0, "ends": 3600.0, "judgement_seconds": 120.0}
    known = {"name": "name", "question": QUESTION, "opening": OPENING, "trials": TRIALS, "front": FRONT, **times}
    return SearchState(**{**known, "alive": False, "stopping": False, **more})


@pytest.fixture
def seen(bundled, monkeypatch):
    """Let the page see searches; return the function that sets the one that it sees."""
    shown = []
    monkeypatch.setattr("dashboard.autopilot.progress.states", lambda store: list(shown))

    def see(one):
        shown[:] = [one]

    return see


def words(app):
    return " ".join(
        [
            read(app),
            *(one.value for kind in ("caption", "info", "success", "warning", "error") for one in app.get(kind)),
        ]
    )


def test_the_question_on_the_screen_is_searched(seen, monkeypatch):
    asked = []

    def start(question, store):
        asked.append(question)
        if len(asked) == 1:
            raise UserError("No chain brings the model below 1 MB.")
        return "name"

    monkeypatch.setattr(session, "start", start)
    app = open_app("autopilot/view.py")
    assert "No search has run yet" in words(app) and "The dense model takes 269 MB" in words(app) and not charts(app)
    app.button(key="autopilot_start").click().run()
    assert [error.value for error in app.error] == ["No chain brings the model below 1 MB\\."]
    app.number_input(key="autopilot_mb").set_value(75.0).run()
    app.number_input(key="autopilot_minutes").set_value(5.0).run()
    app.selectbox(key="autopilot_only").set_value("gguf").run()
    app.toggle(key="autopilot_training").set_value(False).run()
    app.multiselect(key="autopilot_methods").set_value(["wanda", "gptq"]).run()
    app.button(key="autopilot_start").click().run()
    restrictions = Restrictions(training=False, methods=("wanda", "gptq"), only="gguf")
    assert asked[1] == Question(model="smollm2-135m", max_mb=75, minutes=5, restrictions=restrictions)


def test_a_running_search_shows_its_trials_and_can_be_stopped(seen, monkeypatch):
    stopped = []
    monkeypatch.setattr("dashboard.autopilot.progress.stop", lambda store, name: stopped.append(name))
    running = Trial(chain="awq@4bit", expected=Chosen(0.3, 0.05, 400.0), running=True)
    seen(state(alive=True, trials=(*TRIALS, running)))
    app = open_app("autopilot/view.py")
    shown = words(app)
    assert "Best so far: `gptq@4bit+rtn@8bit,on=embedding`, 85.7 MB, 1.34 times dense." in shown
    assert (
        OPENING in shown.replace("\\", "") and "3 chains tried, about 50 min left, then about 2 min to judge." in shown
    )
    assert "Running: `awq@4bit`. Expected: 1.35 times dense (1.22 to 1.49), in about 7 min." in shown
    assert len(charts(app)) == 1
    app.button(key="autopilot_stop").click().run()
    assert stopped == ["name"]


def test_a_search_is_named_by_its_question():
    restrictions = Restrictions(training=False, methods=("gptq", "rtn"), only="gguf")
    name = QUESTION.model_copy(update={"restrictions": restrictions}).title
    assert name == "smollm2-135m below 90 MB · for GGUF · GPTQ, RTN · no training"


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
    assert "Above chance: the mean accuracy minus chance of PIQA and ARC-e, 100 documents each." in shown


def test_without_a_measured_chain_stored_variants_are_listed_and_none_wins(seen):
    fit = StoredFit("wikitext2@2048:16", "gptq@4bit", "b" * 64, 85.7, 20.0, 1.25)
    more = {"rows": (), "fits": False, "tried": 0, "stored": (fit,)}
    seen(state(trials=(), certificate=CERTIFICATE.model_copy(update=more)))
    app = open_app("autopilot/view.py")
    assert "There is no winner, but these stored variants fit." in words(app).replace("\\", "")
    (table,) = [one.value for one in app.dataframe]
    assert table.iloc[0].tolist() == ["wikitext2@2048:16", "gptq@4bit", 85.7, 20.0, 1.25] and not app.success


def test_the_page_follows_a_search(seen):
    seen(state(trials=(), alive=True))
    app = open_app("autopilot/view.py")
    assert "0 chains tried, " in words(app)
    unfit = CERTIFICATE.model_copy(update={"rows": (), "fits": False})
    for more, sentence in (
        ({"alive": True}, "left, then"),
        ({"alive": True, "judging": True}, "Judging the best chains."),
        ({"alive": True, "stopping": True}, "The search stops"),
        ({"certificate": unfit}, "No stored variant that the question allows fits either"),
        ({}, "This search was interrupted. 3 chains tried."),
        ({"problem": "The text is gone."}, "The text is gone\\."),
    ):
        seen(state(**more))
        shown = words(app.run())
        assert sentence in shown and not app.exception
        stop = [button.disabled for button in app.button if button.key == "autopilot_stop"]
        assert stop == ([bool(more.get("stopping"))] if more.get("alive") else [])


def test_a_damaged_file_of_earlier_searches_is_a_sentence_on_the_page(seen, monkeypatch):
    def damaged(store):
        raise UserError("The file is damaged.")

    monkeypatch.setattr("core.search.studies.import_studies", damaged)
    seen(state(certificate=CERTIFICATE))
    app = open_app("autopilot/view.py")
    assert [one.value for one in app.warning] == ["The file is damaged\\."] and "Judged on" in words(app)
