"""Estimates of time and memory, and the numbers of the dense model that a run brings with its own, measured once."""

from unittest.mock import ANY

import pytest

from core.amount import Ratio
from core.base import paths
from core.base.errors import CancelledError, UserError
from core.cli.app import main
from core.engine import execute
from core.engine.runs import run
from core.engine.variants import describe
from core.models.facts import load_shape
from core.models.sources import identify
from core.request.baseline import baseline, remaining_run
from core.request.complete import complete
from core.request.expected import speeds
from core.request.expected.estimate import Estimate, estimate_left
from core.request.settings import RunSettings
from core.request.sweeps import Grid, expand_grid
from core.results import Measurement, Result
from core.specs import BYTES, Perplexity, RunSpec, Task, TextWindows
from core.store.bundled import append_shipped
from core.store.store import Store
from tests.core.commands import RUN, WORDS
from tests.core.factories import make, perplexity
from tests.core.request.estimates import estimate

pytestmark = pytest.mark.usefixtures("machine")
MODEL = "smollm2-135m"


def spec(method="sparsegpt", model=MODEL, windows=16, measured=16, **more) -> RunSpec:
    return complete(
        model,
        method,
        RunSettings(
            calibration=TextWindows(corpus="passages-calibration", windows=windows, window=2048),
            perplexity=[Perplexity(corpus="passages-eval", window=2048, windows=measured)],
            **more,
        ),
    )


def of(*arguments, **more) -> Estimate:
    return estimate(spec(*arguments, **more))


def result(of: RunSpec, seconds: float, perplexity_seconds: float, device="cpu (x86_64)") -> Result:
    """Return a result of a run that took so long."""
    wanted = of.perplexity[0]
    variant = describe(of.variant, ({"seconds": seconds, "device": device, "created": "2026-01-01T00:00:00+00:00"},))
    details = {"seconds": perplexity_seconds, "device": device, "created": "2026-01-01T00:01:00+00:00"}
    details["tokens"] = wanted.window * wanted.windows
    row = perplexity(30.0, wanted.corpus, wanted.window, wanted.windows, details=details)
    return make(row, key=variant.key).model_copy(update={"variant": variant})


def overhead() -> float:
    """Seconds of a run before anything is compressed or measured."""
    return estimate(complete(MODEL, "dense").model_copy(update={"perplexity": ()})).seconds


def test_more_work_takes_longer():
    piqa = Task(task="piqa", limit=10)
    tasks = of(tasks=[piqa]).seconds
    assert of("dense").seconds < of("magnitude").seconds < of("wanda").seconds < of("sparsegpt").seconds
    assert of(windows=16).seconds < of(windows=32).seconds
    assert of(measured=16).seconds < of(measured=17).seconds
    assert of().seconds < tasks < of(tasks=[Task(task="piqa")]).seconds
    assert tasks < of(tasks=[Task(task="mmlu", limit=10)]).seconds
    for more in ({"method": "sparsegpt,true_sequential=false"}, {"method": "sparsegpt,allocation=sensitivity"}):
        assert of().seconds < of(**more).seconds
    assert of().seconds < of(latency=True).seconds
    assert of().seconds < of(scan="block").seconds < of(scan="linear").seconds


def test_estimate_scales_with_the_layers_and_their_depth():
    def seconds(layers):
        return of(f"obs{layers and ',layers=' + layers}").stages["compress"]

    assert seconds("0:0") < seconds("29:29")
    assert seconds("0:0") < seconds("0:1") < seconds("0:14") < seconds("0:29") == seconds("")
    assert seconds("0:14") == pytest.approx(seconds("") / 2, rel=0.01)
    assert seconds("q_proj") < seconds("q_proj|k_proj") < seconds("")
    assert of("wanda,layers=0:14", scan="block").stages["scan"] < of("wanda", scan="block").stages["scan"]


def test_tasks_in_another_precision_use_its_speed_and_weights():
    tasks = [Task(task="piqa", limit=100)]
    half, full = spec("dense", tasks=tasks, scoring="bfloat16"), spec("dense", tasks=tasks)
    assert estimate(half).bytes > estimate(full).bytes

    def measured(dtype, seconds):
        details = {"seconds": seconds, "device": "cpu (x86_64)", "created": "2026-01-01T00:01:00+00:00"}
        protocol = {"limit": 100, "dtype": dtype}
        row = Measurement(metric="acc", dataset="piqa", value=0.5, n=100, protocol=protocol, details=details)
        return make(row).model_copy(update={"variant": describe(full.variant)})

    known = [measured("float32", 100.0)]
    assert estimate(half, known).stages["tasks"] == estimate(full, known).stages["tasks"] == pytest.approx(100)
    known.append(measured("bfloat16", 20.0))
    assert estimate(half, known).stages["tasks"] == pytest.approx(20)
    assert estimate(full, known).stages["tasks"] == pytest.approx(100)


def test_scanning_a_stored_variant_excludes_its_compression():
    asked, store = spec(scan="block"), Store()
    wanted = asked.model_copy(update={"perplexity": ()})
    assert estimate_left([wanted], store).stages["compress"] > 0
    store.put(result(asked, seconds=30.0, perplexity_seconds=10.0))
    left_over = estimate_left([wanted], store).stages
    assert left_over["scan"] > 0 and "compress" not in left_over


def test_all_windows_of_a_text_take_longer_than_some(tmp_path):
    (tmp_path / "long.txt").write_text("word " * 100_000)

    def seconds(windows):
        wanted = Perplexity(corpus=str(tmp_path / "long.txt"), window=2048, windows=windows)
        return estimate(complete(MODEL, "dense", RunSettings(perplexity=[wanted]))).seconds

    assert seconds(2) < seconds(8) < seconds(None)


def test_memory_grows_with_model_dtype_data_and_the_export_check(tmp_path):
    assert of("dense").bytes < of("sparsegpt").bytes
    assert of(windows=16).bytes < of(windows=64).bytes
    assert of(dtype="bfloat16").bytes < of(dtype="float32").bytes
    assert of().bytes > 4 * 134_515_008  # fp32 weights alone
    plain = spec("magnitude")
    saved = plain.model_copy(update={"save": str(tmp_path / "saved")})
    weights = 4 * load_shape(identify(MODEL)).parameters
    assert estimate(saved).bytes > 2 * weights and estimate(plain).bytes < estimate(saved).bytes - weights
    assert estimate(saved).seconds > estimate(plain).seconds


def test_a_stored_run_of_the_same_kind_is_the_estimate_of_its_repetition():
    again = spec()
    measured = estimate(again, [result(again, seconds=90.0, perplexity_seconds=20.0)])
    assert measured.seconds == pytest.approx(overhead() + 110)
    twice = estimate(spec(measured=32), [result(again, seconds=90.0, perplexity_seconds=20.0)])
    assert twice.seconds == pytest.approx(overhead() + 130)
    quiet = [result(spec(seed=seed), 90.0 + seed, 20.0) for seed in (1, 2, 3)]
    busy = result(spec(seed=4), 900.0, 200.0)
    assert estimate(spec(), [*quiet, busy]).seconds == pytest.approx(overhead() + 93 + 20)


def test_most_similar_rows_count_and_other_devices_do_not():
    rows = [
        result(spec("sparsegpt"), 90.0, 20.0),
        result(spec("wanda"), 10.0, 20.0),
        result(spec("sparsegpt", seed=1), 1.0, 1.0, device="cuda (a card)"),
    ]
    assert estimate(spec("sparsegpt"), rows).seconds == pytest.approx(overhead() + 110)
    assert estimate(spec("wanda"), rows).seconds == pytest.approx(overhead() + 30)
    small = result(spec(windows=1, measured=1), 60.0, 60.0)  # a run of seconds has little weight against one of minutes
    assert estimate(spec(), [*rows, small]).seconds < overhead() + 400
    assert estimate(spec("sparsegpt"), [result(spec("magnitude"), 1.0, 20.0)]).seconds > overhead() + 30
    assert estimate(spec(dtype="bfloat16"), rows).stages == estimate(spec(), rows).stages | {"load": ANY}


def in_all(wanted: RunSpec, store: Store, measured: list[Result]) -> float:
    """The seconds of all that is left of a run, where these results were measured here."""
    return sum(estimate(part, measured).seconds for part in remaining_run(wanted, store))


def test_only_local_measurements_predict_the_speed():
    mine, bundled = result(spec("wanda"), 10.0, 20.0), result(spec("sparsegpt"), 90.0, 20.0)
    append_shipped(bundled, paths.SHIPPED_MEASURED / "one.jsonl")
    details = {"created": "2025-01-01T00:00:00+00:00", "seconds": 1.0}
    older = mine.measurements[0].model_copy(update={"dataset": "ptb", "details": details})
    append_shipped(mine.model_copy(update={"measurements": (older,)}), paths.SHIPPED_MEASURED / "two.jsonl")
    store, wanted = Store(), spec("wanda", windows=8)
    nothing = in_all(wanted, store, [])
    assert estimate_left([wanted], store).seconds == pytest.approx(nothing)
    store.put(mine)
    assert estimate_left([wanted], store).seconds == pytest.approx(in_all(wanted, store, [mine]))
    assert in_all(wanted, store, [mine]) != pytest.approx(nothing)


def test_removed_methods_and_parameters_predict_no_speed():
    again, rows = spec(), []
    known = result(again, seconds=90.0, perplexity_seconds=20.0)
    for change in ({"method": "newer"}, {"parameters": {"colour": "red"}}):
        stage = known.variant.stages[0].model_copy(update=change)
        variant = known.variant.model_copy(update={"stages": (stage,)})
        rows.append(known.model_copy(update={"variant": variant, "measurements": ()}))
    assert estimate(again, [*rows, known]) == estimate(again, [known])


def renamed(one: Result, model: str, key: str) -> Result:
    return one.model_copy(update={"variant": one.variant.model_copy(update={"model": model, "key": key})})


def test_remaining_time_follows_changes_of_the_history(monkeypatch):
    shape = load_shape(identify(MODEL))
    monkeypatch.setattr(speeds, "shape_of", lambda model, revision: None if model == "gone" else shape)
    store, wanted = Store(), spec("wanda", windows=8)

    def check():
        found = estimate_left([wanted], store).seconds
        here = [one for one in known if one.variant.key in store.local_keys()]
        assert found == pytest.approx(in_all(wanted, store, here))
        return found

    known = [
        renamed(result(spec("wanda"), 500.0, 400.0), "gone", "1" * 64),
        renamed(result(spec("wanda"), 70.0, 60.0), "other", "2" * 64),
        result(spec("sparsegpt"), 90.0, 20.0),
        result(spec("wanda", seed=1), 10.0, 30.0, device="cuda (a card)"),
        result(spec("wanda", seed=2), 40.0, 25.0),
        result(spec("wanda", seed=3), 40.0, 28.0),  # made at the same moment: by way of the same one
    ]
    seconds = [check()]
    for one in known:
        store.put(one)
        seconds.append(check())
    assert seconds[1] == seconds[0] and seconds[2] != seconds[1] and seconds[4] == seconds[3] != seconds[2]
    assert len(set(seconds)) == 5
    for one in known:
        store.delete(one.variant.key)
        check()
    assert check() == seconds[0]


def test_without_stored_runs_the_time_follows_from_the_speed_of_this_processor(monkeypatch):
    assert speeds.product_speed() > 0
    slow = of().seconds
    monkeypatch.setattr(speeds, "product_speed", lambda: 80e9)
    fast = of().seconds
    assert slow / 2.5 < fast < slow / 1.5


@pytest.mark.parametrize(
    ("flags", "faster"),
    [("flags : sse avx512_bf16", True), ("Features : fp asimd bf16", True), ("flags : sse avx512f", False)],
)
def test_a_processor_that_multiplies_bfloat16_is_faster_in_it(flags, faster, tmp_path, monkeypatch):
    processor = tmp_path / "cpuinfo"
    processor.write_text(flags)
    monkeypatch.setattr(speeds, "CPU_INFO", processor)
    speeds.multiplies_bf16.cache_clear()
    seconds = {dtype: of("wanda", dtype=dtype).stages["compress"] for dtype in BYTES}
    speeds.multiplies_bf16.cache_clear()
    assert seconds["float16"] == seconds["float32"]
    assert (seconds["bfloat16"] < seconds["float32"]) is faster


def requested(method="magnitude", ratio=0.5, text="text.txt@32:4", **more) -> RunSpec:
    calibration = TextWindows.parse("text.txt:2x32")
    return complete(
        "./tiny", f"{method}@{ratio}", RunSettings(calibration=calibration, perplexity=[Perplexity.parse(text)], **more)
    )


@pytest.fixture
def computed(monkeypatch):
    """The runs that were computed, as they come."""
    real, seen = execute.execute, []
    monkeypatch.setattr(execute, "execute", lambda part, *rest: seen.append(part) or real(part, *rest))
    return seen


def test_dense_model_is_measured_the_same_way_and_only_once(computed):
    store, first = Store(), requested(latency=True)
    result = run(first, store)
    dense = store.get(baseline(first).variant.key)
    assert [part.variant.stages[0].method for part in computed] == ["magnitude", "dense"]
    assert dense.variant.method == "dense"
    assert {row.identity for row in dense.measurements} == {row.identity for row in result.measurements}
    assert remaining_run(first, store) == [] and run(first, store) == result
    run(requested("wanda", 0.3), store)
    assert [part.variant.stages[0].method for part in computed] == ["magnitude", "dense", "wanda"]
    run(requested("wanda", 0.3, "text.txt@64:2"), store)
    assert [str(part.perplexity[0]).rpartition("@")[2] for part in computed[3:]] == ["64:2", "64:2"]
    run(first.model_copy(update={"force": True, "latency": False}), store)
    assert [part.variant.stages[0].method for part in computed[5:]] == ["magnitude"]  # and not its baseline


def test_a_sweep_measures_the_same_baseline_first(computed):
    grid = Grid(models=("./tiny",), chains=("magnitude@", "wanda@"), amounts=(Ratio(0.3),))
    text = {"calibration": TextWindows.parse("text.txt:2x32"), "perplexity": [Perplexity.parse("text.txt@32:4")]}
    (dense, *others), _ = expand_grid(grid, RunSettings(**text))
    assert [baseline(other) for other in others] == [dense, dense] and baseline(dense) is None
    store = Store()
    for one in (dense, *others):
        run(one, store)
    assert len(computed) == 3


def test_runs_without_measurements_have_no_baseline(tmp_path, computed, capsys):
    assert main(RUN) == 0
    assert "the dense baseline included" in capsys.readouterr().err
    found = next(one for one in Store().results() if one.variant.method == "sparsegpt")
    assert main(["export", found.variant.key, str(tmp_path / "out")]) == 0
    assert [part.variant.stages[0].method for part in computed] == ["sparsegpt", "dense", "sparsegpt"]


def test_an_invalid_run_fails_before_its_baseline_is_measured(tmp_path):
    (tmp_path / "short.txt").write_text(" ".join(WORDS[:40]))
    store = Store()
    short = TextWindows(corpus=str(tmp_path / "short.txt"), windows=9, window=32)
    bad = complete(
        "./tiny", "wanda@0.5", RunSettings(calibration=short, perplexity=[Perplexity.parse("text.txt@32:4")])
    )
    with pytest.raises(UserError, match="too short"):
        run(bad, store)
    assert store.results() == []


def test_a_run_stopped_in_its_baseline_keeps_its_own_numbers():
    store, seen = Store(), []

    def stopping(stage, done, total, detail=""):
        seen.append((stage, detail))
        if stage == "perplexity" and detail.startswith("dense model, text.txt"):
            raise CancelledError

    with pytest.raises(CancelledError):
        run(requested(), store, stopping)
    assert len(store.get(requested().variant.key).measurements) == 1
    assert seen[0] == ("load", "tiny") and ("load", "dense model, tiny") in seen


def test_estimate_counts_the_baseline_once_and_no_stored_results():
    store, both = Store(), [requested(), requested("wanda")]
    dense = estimate(baseline(both[0])).seconds
    parts = [estimate(one).seconds for one in both]
    assert estimate_left([both[0]], store).seconds == pytest.approx(parts[0] + dense)
    assert estimate_left(both, store).seconds == pytest.approx(sum(parts) + dense)
    run(both[0], store)
    assert estimate_left([both[0]], store).seconds == 0
