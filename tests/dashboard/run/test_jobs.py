"""The list of jobs and the newest sweep on the Run page, on a queue that starts no process."""

import re
import socket
import time

import pytest
from sqlalchemy import update

from core.answers.question import QuestionRow
from core.engine.variants import describe
from core.jobs import doing
from core.jobs.kinds import QUESTION
from core.jobs.queue import insert_job
from core.request.complete import complete
from core.request.expected.estimate import Estimate
from core.store.tables import jobs
from dashboard import data
from dashboard.shared.literal import literal
from tests.dashboard.opened import open_app
from tests.synthetic import TRAINING, result

MODEL, RATIOS = "smollm2-135m", (0.3, 0.5, 0.7)


@pytest.fixture
def become(filled):
    """Set columns of a job's row."""

    def set_columns(job_id, **values):
        with filled.begin() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))

    return set_columns


def page():
    return open_app("run/view.py")


def click(app, key):
    app.button(key=key).click().run()
    assert not app.exception


def keys(app):
    return {button.key for button in app.button}


def submit(*ratios):
    for ratio in ratios:
        data.queue().submit(complete(MODEL, f"wanda@{ratio}"))


def waiting(app):
    """Return the rows of the queued jobs."""
    rows = [text.value.replace("\\", "") for text in app.markdown]
    return [row for row in rows if re.match(r"\d+\. ", row)]


def test_a_job_shows_its_progress_error_and_result_and_can_be_repeated_and_deleted(become):
    app = page()
    click(app, "run_start")
    become(1, state="running", stage="compress", done=50, total=210, detail="model.layers.7.mlp.up_proj", started=1.0)
    app.run()
    bar = app.progress[0]
    assert bar.value == 23 and "Compressing · model.layers.7.mlp.up_proj" in bar.text
    become(1, state="failed", error="The disk is full.", finished=2.0)
    assert app.run().error[0].value == "The disk is full."
    become(1, state="done", error=None)
    assert app.run().page_link[-1].value == "Show on Explore"
    become(1, state="queued", started=None, finished=None)
    app.run()
    click(app, "run_waits_Cancel_1")
    assert [job.state for job in data.queue().jobs()] == ["cancelled"]
    click(app, "run_retry_1")
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled"]
    click(app, "run_delete_1")
    assert [job.id for job in data.queue().jobs()] == [2]


def test_queued_jobs_can_be_reordered_and_cancelled(become):
    submit(0.33, 0.44, 0.55)
    app = page()
    first, second, third = (f"Wanda {share} %, passages, smollm2-135m" for share in (33, 44, 55))
    assert waiting(app) == [f"1. {first}", f"2. {second}", f"3. {third}"]
    assert app.button(key="run_waits_Move up_1").disabled and app.button(key="run_waits_Move down_3").disabled
    click(app, "run_waits_Move up_3")
    click(app, "run_waits_Move down_1")
    assert waiting(app) == [f"1. {third}", f"2. {first}", f"3. {second}"]
    (summary,) = (caption.value for caption in app.caption if "jobs waiting" in caption.value)
    assert re.fullmatch(r"3 jobs waiting · All 3 jobs: about [\d.]+ (s|min|h) left", summary)
    become(3, state="running", started=time.time())
    assert waiting(app.run()) == [f"1. {first}", f"2. {second}"]
    click(app, "run_cancel_all")
    assert app.toast[0].value == "Cancelled 3 jobs."
    assert not waiting(app) and "run_cancel_all" in keys(app)  # as the third one still stops
    assert [job.state for job in data.queue().jobs()] == ["running", "cancelled", "cancelled"]


def test_all_running_jobs_are_visible_and_stop_at_once(become):
    submit(0.33)
    become(1, state="running", started=time.time())
    app = page()
    assert re.search(r" so far · about [\d.]+ (s|min|h) left$", app.progress[0].text)
    submit(0.44)
    app.run()
    assert any(caption.value.startswith("1 job waiting · All 2 jobs: ") for caption in app.caption)
    submit(0.55)
    become(2, state="running", started=time.time())
    app.run()
    assert len(app.progress) == 2 and {"run_cancel_1", "run_cancel_2", "run_waits_Cancel_3"} <= keys(app)
    become(1, state="done", finished=2.0)
    app.run()
    assert len(app.progress) == 1 and waiting(app) == ["1. Wanda 55 %, passages, smollm2-135m"]
    click(app, "run_cancel_2")
    assert any(text.value.endswith("· cancelling") for text in app.markdown)


def test_a_job_for_another_machine_shows_the_reason(become, tmp_path):
    submitted = complete(MODEL, "wanda@0.33")
    absent = {"model": "my-llama", "revision": "sha256:0123456789ab"}
    variant, own = (complete(MODEL, chain).variant.model_copy(update=absent) for chain in ("wanda@0.4", "rtn@4bit"))
    for spec, host in (
        (submitted.model_copy(update={"variant": variant}), "spruce"),
        (submitted.model_copy(update={"save": str(tmp_path / "saved")}), "larch"),
        (submitted, "fir"),  # which this machine can run
        (submitted.model_copy(update={"variant": own}), socket.gethostname()),
    ):
        become(data.queue().submit(spec), host=host)
    captions = [caption.value.replace("\\", "") for caption in page().caption]
    assert [text for text in captions if text.startswith("Waiting for machine")] == [
        "Waiting for machine spruce: its model folder is only there.",
        "Waiting for machine larch: it saves its model there.",
    ]


def test_the_last_ended_job_is_visible_and_earlier_ones_are_folded(become):
    submit(0.1, 0.2, 0.3)
    for number, state in enumerate(("done", "failed", "cancelled"), start=1):
        become(number, state=state, error="The disk is full.", finished=float(number))
    data.queue()._supervisor.problem = "The results folder /x cannot be written."
    app = page()
    assert [error.value for error in app.error] == [literal("The results folder /x cannot be written.")]
    assert "run_retry_3" in keys(app) and "Ended jobs, 1 failed" in [box.label for box in app.expander]
    app.session_state["run_ended"] = True
    app.run()
    assert app.error[-1].value == "The disk is full."
    assert {"run_delete_1", "run_retry_2", "run_delete_3"} <= keys(app)


def test_a_question_is_shown_with_what_it_asks_and_cancelled_then_removed(become):
    row = QuestionRow(model="toy", chains=("dense", "magnitude@0.5")).model_dump_json()
    job = data.store().transact(lambda connection: insert_job(connection, QUESTION, row))
    become(job, state="running", stage="reply", done=1, total=4)
    app = page()
    assert any("Question: **toy: dense, magnitude@0.5**" in one.value.replace("\\", "") for one in app.markdown)
    click(app, f"run_cancel_{job}")
    assert data.queue().works()[0].cancel
    become(job, state="cancelled")
    app.session_state["run_ended"] = True
    click(app.run(), f"run_delete_{job}")
    assert data.queue().works() == []


def test_a_cancelled_training_can_be_measured_or_resumed(filled):
    recovered = complete(MODEL, "magnitude@0.5+lora")
    variant = describe(recovered.variant, ({}, {"training": TRAINING | {"ended": "cancelled"}}))
    filled.put(result("magnitude", 30.0, 0.5).model_copy(update={"variant": variant}))
    data.queue().cancel(data.queue().submit(recovered))
    app = page()
    click(app, "run_retry_1")
    data.queue().cancel(2)
    click(app, "run_resume_1")
    assert [job.state for job in data.queue().jobs()] == ["queued", "cancelled", "cancelled"]
    assert data.result(recovered.variant.key) is None  # so that it is trained, and not only measured


def test_the_remaining_time_of_a_job_only_decreases(become, monkeypatch):
    clock, active = {"now": 1000.0}, data.active_jobs
    monkeypatch.setattr(
        data, "active_jobs", lambda: [job.model_copy(update={"read": clock["now"]}) for job in active()]
    )
    expected = Estimate(seconds=60, bytes=0, stages={"": 10, "perplexity": 40})
    monkeypatch.setattr(doing, "estimate_left", lambda *_: expected)
    app = page()
    click(app, "run_start")
    started = {"state": "running", "started": 995.0, "stage": "", "stage_started": None}
    measuring = {"stage": "perplexity", "total": 2, "done": 1, "stage_started": 1009.0}
    for now, values, words in (
        (1000.0, started, "Starting · 5 s so far · about 55 s left"),  # as estimated for the run
        (1039.0, measuring, "Measuring perplexity · 50 % · 44 s so far · about 30 s left"),  # as its pace tells
        (1051.0, {}, "Measuring perplexity · 50 % · 56 s so far · about 18 s left"),
        (1091.0, {"done": 2}, "Measuring perplexity · 100 % · 2 min so far · longer than expected"),
    ):
        clock["now"] = now
        if values:
            become(1, **values)
        assert app.run().progress[0].text == words and not app.exception


def test_a_sweep_shows_its_progress_failures_machines_and_chart(filled, become):
    results = [result("wanda", 20.0 + ratio, ratio) for ratio in RATIOS]
    for one in results[:2]:
        filled.put(one)
    specs = [complete(MODEL, f"wanda@{ratio}") for ratio in RATIOS]
    variants = [a.variant.model_copy(update={"stages": b.variant.stages}) for a, b in zip(specs, results, strict=True)]
    data.queue().submit_all([specs[0].model_copy(update={"variant": variant}) for variant in variants])
    app = page()
    assert "Sweep" in [one.value for one in app.header]
    become(1, state="done", machine="first")
    become(2, state="running", machine="second")
    become(3, state="failed", error="The text is too short.")
    app.run()
    words = [one.proto.text for one in app.get("progress")]
    assert any(one.startswith("1 of 3 runs done · 1 failed · 1 running on second") for one in words)
    assert "Wanda 70 %, passages, smollm2-135m: The text is too short." in app.error[0].value.replace("\\", "")
    (chart,) = app.get("plotly_chart")
    assert "Wanda" in chart.proto.spec and "SparseGPT" not in chart.proto.spec
    click(app, "run_retry_failed")
    assert [(job.id, job.state) for job in data.queue().active()] == [(2, "running"), (4, "queued")]
    assert "Sweep" not in [one.value for one in app.header]  # the newest job is of none
