"""A variant's speed beside the dense model's."""

from core.analysis.differences import differences
from core.results import Measurement
from dashboard.charts import latency
from tests.dashboard.synthetic import result

UNPAIRED = differences([], result("dense", 20.1), lambda key, number: None)


def timed(method, prefill, device="cpu (x86_64)"):
    rows = [
        Measurement(
            metric="prefill", dataset="synthetic", value=prefill * batch, n=7, protocol={"batch": batch},
            details={"device": device},
        )
        for batch in (1, 4)
    ]  # fmt: skip
    one = result(method, 30.0, None if method == "dense" else 0.5)
    return one.model_copy(update={"measurements": (*one.measurements, *rows)})


def test_speed_stands_beside_the_dense_model_s_on_the_same_device():
    table = latency.speeds(timed("slimllm", 2.0), timed("dense", 3.0))
    assert list(table["What"]) == ["Read a token (ms)"] * 2
    assert list(table["Dense / measured"]) == [1.5, 1.5]
    assert latency.speeds(timed("slimllm", 2.0), timed("dense", 3.0, "cuda (H100)"))["Dense"].isna().all()
    assert latency.speeds(timed("slimllm", 2.0), None)["Dense"].isna().all()
    assert latency.speeds(result("wanda", 30.0, 0.5), timed("dense", 3.0)).empty
