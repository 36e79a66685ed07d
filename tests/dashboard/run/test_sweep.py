"""The newest sweep on the Run page, on a queue that starts no process."""

from sqlalchemy import update

from core.request.complete import complete
from core.store.tables import jobs
from dashboard import data
from tests.dashboard.opened import open_app
from tests.dashboard.synthetic import result

RATIOS = (0.3, 0.5, 0.7)


def become(store, job_id, **values):
    with store.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


def test_a_sweep_shows_its_progress_failures_machines_and_chart(filled):
    results = [result("wanda", 20.0 + ratio, ratio) for ratio in RATIOS]
    for one in results[:2]:
        filled.put(one)
    specs = [complete("smollm2-135m", f"wanda@{ratio}") for ratio in RATIOS]
    specs = [
        spec.model_copy(update={"variant": spec.variant.model_copy(update={"stages": one.variant.stages})})
        for spec, one in zip(specs, results, strict=True)
    ]
    data.queue().submit_all(specs)
    app = open_app("run/view.py")
    assert "Sweep" in [one.value for one in app.header]
    become(filled, 1, state="done", machine="first")
    become(filled, 2, state="running", machine="second")
    become(filled, 3, state="failed", error="The text is too short.")
    app.run()
    words = [one.proto.text for one in app.get("progress")]
    assert any(one.startswith("1 of 3 runs done · 1 failed · 1 running on second") for one in words)
    assert "Wanda, 70 %, smollm2-135m: The text is too short." in app.error[0].value.replace("\\", "")
    (chart,) = app.get("plotly_chart")
    assert "Wanda" in chart.proto.spec and "SparseGPT" not in chart.proto.spec
    app.button(key="run_retry_failed").click().run()
    assert not app.exception
    assert [(job.id, job.state) for job in data.queue().active()] == [(2, "running"), (4, "queued")]
    assert "Sweep" not in [one.value for one in app.header]  # the newest job is of none


def test_a_single_run_is_no_sweep(filled):
    data.queue().submit_all([complete("smollm2-135m", "wanda@0.3"), complete("smollm2-135m", "wanda@0.4")])
    data.queue().submit(complete("smollm2-135m", "wanda@0.5"))
    assert "Sweep" not in [one.value for one in open_app("run/view.py").header]
