"""The speed of a variant, compared with dense."""

from core.findings.rows import latency
from core.results import Measurement
from tests.synthetic import result


def timed(method, prefill, device="cpu (x86_64)", dtype="float32"):
    common = {"details": {"device": device}, "dataset": "synthetic", "metric": "prefill", "n": 7}
    rows = [Measurement(value=prefill * batch, protocol={"batch": batch, "dtype": dtype}, **common) for batch in (1, 4)]
    one = result(method, 30.0, None if method == "dense" else 0.5)
    return one.model_copy(update={"measurements": (*one.measurements, *rows)})


def test_speed_is_compared_with_dense_on_the_same_device():
    table = latency.speeds(timed("slimllm", 2.0), timed("dense", 3.0))
    assert list(table["Metric"]) == ["Prefill latency (ms per token)"] * 2
    assert list(table["Dense / measured"]) == [1.5, 1.5]
    assert latency.speeds(timed("slimllm", 2.0), timed("dense", 3.0, "cuda (H100)"))["Dense"].isna().all()
    packed = latency.speeds(timed("slimllm", 1.0, dtype="bfloat16 x int4"), timed("dense", 3.0))
    assert list(packed["Precision"]) == ["bfloat16 x int4, dense float32"] * 2 and list(packed["Dense"]) == [3.0, 12.0]
    assert set(table["Precision"]) == {"float32"}
    assert latency.speeds(timed("slimllm", 2.0), None)["Dense"].isna().all()
    assert latency.speeds(result("wanda", 30.0, 0.5), timed("dense", 3.0)).empty
