"""The list of jobs beside the form, on a queue that starts no process."""

from types import SimpleNamespace

from sqlalchemy import update

from core.engine.variants import describe
from core.request.complete import complete
from core.store.tables import jobs
from dashboard import data
from dashboard.panels import joblist
from tests.dashboard.opened import open_app
from tests.dashboard.synthetic import TRAINING, result


def test_jobs_show_their_state_and_can_be_cancelled_and_repeated(filled):
    app = open_app("views/run.py")
    app.button(key="run_start").click().run()
    app.button(key="run_Cancel_1").click().run()
    assert [job.state for job in data.queue().jobs()] == ["cancelled"]
    app.button(key="run_Try again_1").click().run()
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled"]
    app.button(key="run_Forget_1").click().run()
    assert [job.id for job in data.queue().jobs()] == [2]
    assert not app.exception


def test_a_training_that_was_cancelled_is_measured_as_it_is_or_goes_on(filled):
    recovered = complete("smollm2-135m", "magnitude@0.5+lora")
    kept = result("magnitude", 30.0, 0.5)
    variant = describe(recovered.variant, ({}, {"training": TRAINING | {"ended": "cancelled"}}))
    filled.put(kept.model_copy(update={"variant": variant}))
    data.queue().cancel(data.queue().submit(recovered))
    app = open_app("views/run.py")
    app.button(key="run_Measure what was trained_1").click().run()
    data.queue().cancel(2)
    app.button(key="run_Go on training_1").click().run()
    assert not app.exception
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled", "cancelled"]
    assert data.result(recovered.variant.key) is None  # so that it is trained, and not only measured


def test_running_failed_and_finished_jobs_say_so(filled):
    app = open_app("views/run.py")
    app.button(key="run_start").click().run()

    def become(**values):
        with filled.begin() as connection:
            connection.execute(update(jobs).values(**values))
        app.run()
        assert not app.exception

    become(state="running", stage="compress", done=50, total=210, detail="model.layers.7.mlp.up_proj", started=1.0)
    bar = app.progress[0]
    assert bar.value == 23 and "Compressing · model.layers.7.mlp.up_proj" in bar.text
    become(state="failed", error="The disk is full.", finished=2.0)
    assert app.error[0].value == "The disk is full."
    become(state="done", error=None)
    assert app.page_link[-1].value == "See it on Explore"


def test_the_time_left_of_a_job_only_falls(filled, monkeypatch):
    clock = {"now": 1000.0}
    monkeypatch.setattr(joblist, "time", SimpleNamespace(time=lambda: clock["now"]))
    app = open_app("views/run.py")
    app.button(key="run_start").click().run()
    row = {"state": "running", "started": 995.0, "stage": "", "stage_started": None}

    def left(after, **values):
        """The last words on the bar, so many seconds later, the job's row changed."""
        clock["now"] += after
        if values:
            with filled.begin() as connection:
                connection.execute(update(jobs).values(**values))
        app.run()
        assert not app.exception
        return app.progress[0].text.rpartition(" · ")[2]

    assert left(0, **row) == "about 5 s left"  # as estimated for the start
    assert left(9) == "longer than expected"
    reading = {"stage": "perplexity", "total": 2}
    words = left(0, **reading, done=0, stage_started=1009.0)
    assert words.startswith("about") and words.endswith("left")
    assert left(30, done=1) == "about 30 s left"
    assert left(12) == "about 18 s left"
    assert left(40) == "longer than expected"
    assert left(0, detail="done", done=2) == "done"
