"""A run brings the numbers that its own are compared with: those of the dense model, measured in the same way, once."""

import pytest

from core.amount import Ratio
from core.base.errors import CancelledError, UserError
from core.cli.app import main
from core.engine import execute
from core.engine.runs import run
from core.request.baseline import baseline, remaining_run
from core.request.complete import complete
from core.request.expected.estimate import estimate_left
from core.request.settings import RunSettings
from core.request.sweeps import Grid, expand_grid
from core.specs import Perplexity, RunSpec, TextWindows
from core.store.store import Store
from tests.core.commands import RUN, WORDS
from tests.core.request.estimates import estimate

pytestmark = pytest.mark.usefixtures("machine")


def spec(method="magnitude", ratio=0.5, text="text.txt@32:4", **more) -> RunSpec:
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
    store, first = Store(), spec(latency=True)
    result = run(first, store)
    dense = store.get(baseline(first).variant.key)
    assert [part.variant.stages[0].method for part in computed] == ["magnitude", "dense"]
    assert dense.variant.method == "dense"
    assert {row.identity for row in dense.measurements} == {row.identity for row in result.measurements}
    assert remaining_run(first, store) == [] and run(first, store) == result
    run(spec("wanda", 0.3), store)
    assert [part.variant.stages[0].method for part in computed] == ["magnitude", "dense", "wanda"]
    run(spec("wanda", 0.3, "text.txt@64:2"), store)
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
        run(spec(), store, stopping)
    assert len(store.get(spec().variant.key).measurements) == 1
    assert seen[0] == ("load", "tiny") and ("load", "dense model, tiny") in seen


def test_estimate_counts_the_baseline_once_and_no_stored_results():
    store, both = Store(), [spec(), spec("wanda")]
    dense = estimate(baseline(both[0])).seconds
    parts = [estimate(one).seconds for one in both]
    assert estimate_left([both[0]], store).seconds == pytest.approx(parts[0] + dense)
    assert estimate_left(both, store).seconds == pytest.approx(sum(parts) + dense)
    run(both[0], store)
    assert estimate_left([both[0]], store).seconds == 0
