"""The list of jobs on the Run page, on a queue that starts no process."""

import re
import socket
import time

from sqlalchemy import update

from core.engine.variants import describe
from core.request.complete import complete
from core.store.tables import jobs
from dashboard import data
from dashboard.shared.literal import literal
from tests.dashboard.opened import open_app
from tests.dashboard.synthetic import TRAINING, result


def test_jobs_can_be_cancelled_repeated_and_deleted(filled):
    app = open_app("run/view.py")
    app.button(key="run_start").click().run()
    app.button(key="run_waits_Cancel_1").click().run()
    assert [job.state for job in data.queue().jobs()] == ["cancelled"]
    app.button(key="run_retry_1").click().run()
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled"]
    app.button(key="run_delete_1").click().run()
    assert [job.id for job in data.queue().jobs()] == [2]
    assert not app.exception


def waiting(app):
    """Return the rows of the queued jobs."""
    rows = [text.value.replace("\\", "") for text in app.markdown]
    return [row for row in rows if re.match(r"\d+\. ", row)]


def test_queued_jobs_can_be_reordered(filled):
    for chain in ("wanda@0.33", "wanda@0.44", "wanda@0.55"):
        data.queue().submit(complete("smollm2-135m", chain))
    app = open_app("run/view.py")
    first, second, third = (f"Wanda, {share} %, smollm2-135m" for share in (33, 44, 55))
    assert waiting(app) == [f"1. {first}", f"2. {second}", f"3. {third}"]
    assert app.button(key="run_waits_Move up_1").disabled and app.button(key="run_waits_Move down_3").disabled
    app.button(key="run_waits_Move up_3").click().run()
    app.button(key="run_waits_Move down_1").click().run()
    assert waiting(app) == [f"1. {third}", f"2. {first}", f"3. {second}"]
    (summary,) = (caption.value for caption in app.caption if "jobs waiting" in caption.value)
    assert re.fullmatch(r"3 jobs waiting · All 3 jobs: about [\d.]+ (s|min|h) left", summary)
    with filled.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == 3).values(state="running", started=time.time()))
    app.run()
    assert waiting(app) == [f"1. {first}", f"2. {second}"]
    app.button(key="run_cancel_all").click().run()
    assert app.toast[0].value == "Cancelled 3 jobs."
    assert not waiting(app) and "run_cancel_all" in [
        button.key for button in app.button
    ]  # as the third one still stops
    assert [job.state for job in data.queue().jobs()] == ["running", "cancelled", "cancelled"]


def test_a_running_job_alone_has_its_own_time_and_stops_at_once(filled):
    job = data.queue().submit(complete("smollm2-135m", "wanda@0.33"))
    with filled.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job).values(state="running", started=time.time()))
    app = open_app("run/view.py")
    (words,) = (caption.value for caption in app.caption if "waiting" in caption.value)
    assert re.fullmatch(r"No job is waiting · This job: about [\d.]+ (s|min|h) left", words)
    data.queue().submit(complete("smollm2-135m", "wanda@0.44"))
    app.run()
    assert any(caption.value.startswith("1 job waiting · All 2 jobs: ") for caption in app.caption)
    app.button(key=f"run_cancel_{job}").click().run()
    assert any(text.value.endswith("· cancelling") for text in app.markdown)


def test_all_running_jobs_are_visible(filled):
    for chain in ("wanda@0.33", "wanda@0.44", "wanda@0.55"):
        data.queue().submit(complete("smollm2-135m", chain))
    with filled.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id != 3).values(state="running", started=time.time()))
    app = open_app("run/view.py")
    assert not app.exception and len(app.progress) == 2
    assert {"run_cancel_1", "run_cancel_2", "run_waits_Cancel_3"} <= {button.key for button in app.button}
    with filled.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == 1).values(state="done", finished=2.0))
    app.run()
    assert len(app.progress) == 1 and waiting(app) == ["1. Wanda, 55 %, smollm2-135m"]


def test_a_job_for_another_machine_shows_the_reason(filled, tmp_path):
    submitted = complete("smollm2-135m", "wanda@0.33")
    absent = {"model": "my-llama", "revision": "sha256:0123456789ab"}
    chains = ("wanda@0.4", "rtn@4bit")
    variant, own = (complete("smollm2-135m", chain).variant.model_copy(update=absent) for chain in chains)
    jobs_of = [
        (submitted.model_copy(update={"variant": variant}), "spruce"),
        (submitted.model_copy(update={"save": str(tmp_path / "saved")}), "larch"),
        (submitted, "fir"),  # which this machine can run
        (submitted.model_copy(update={"variant": own}), socket.gethostname()),
    ]
    for spec, host in jobs_of:
        job = data.queue().submit(spec)
        with filled.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job).values(host=host))
    captions = [caption.value.replace("\\", "") for caption in open_app("run/view.py").caption]
    assert [text for text in captions if text.startswith("Waiting for machine")] == [
        "Waiting for machine spruce: its model folder is only there.",
        "Waiting for machine larch: it saves its model there.",
    ]


def test_the_last_ended_job_is_visible_and_earlier_ones_are_folded(filled):
    for at, state in enumerate(("done", "failed", "cancelled"), start=1):
        job = data.queue().submit(complete("smollm2-135m", f"wanda@0.{at}"))
        with filled.begin() as connection:
            values = {"state": state, "error": "The disk is full.", "finished": float(at)}
            connection.execute(update(jobs).where(jobs.c.id == job).values(**values))
    app = open_app("run/view.py")
    assert "run_retry_3" in [button.key for button in app.button] and not app.error
    assert "Ended jobs, 1 failed" in [box.label for box in app.expander]
    app.session_state["run_ended"] = True
    app.run()
    assert app.error[0].value == "The disk is full."
    assert {"run_delete_1", "run_retry_2", "run_delete_3"} <= {button.key for button in app.button}


def test_a_cancelled_training_can_be_measured_or_resumed(filled):
    recovered = complete("smollm2-135m", "magnitude@0.5+lora")
    kept = result("magnitude", 30.0, 0.5)
    variant = describe(recovered.variant, ({}, {"training": TRAINING | {"ended": "cancelled"}}))
    filled.put(kept.model_copy(update={"variant": variant}))
    data.queue().cancel(data.queue().submit(recovered))
    app = open_app("run/view.py")
    app.button(key="run_retry_1").click().run()
    data.queue().cancel(2)
    app.button(key="run_resume_1").click().run()
    assert not app.exception
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled", "cancelled"]
    assert data.result(recovered.variant.key) is None  # so that it is trained, and not only measured


def test_jobs_show_their_progress_errors_and_results(filled):
    app = open_app("run/view.py")
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
    assert app.page_link[-1].value == "Show on Explore"


def test_the_remaining_time_of_a_job_only_decreases(filled, monkeypatch):
    clock, active = {"now": 1000.0}, data.active_jobs
    monkeypatch.setattr(
        data, "active_jobs", lambda: [job.model_copy(update={"read": clock["now"]}) for job in active()]
    )
    app = open_app("run/view.py")
    app.button(key="run_start").click().run()
    row = {"state": "running", "started": 995.0, "stage": "", "stage_started": None}

    def left(after, **values):
        """Return the last words on the bar, `after` seconds later and with `values` in the job's row."""
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


def test_a_blocked_queue_shows_the_reason(filled):
    data.queue()._supervisor.problem = "The results folder /x cannot be written."
    shown = [error.value for error in open_app("run/view.py").error]
    assert shown == [literal("The results folder /x cannot be written.")]
