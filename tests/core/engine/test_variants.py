"""Runs of several stages and texts: the result of each, when it is stored, the cache, and the time of a stage."""

import os

import pytest

from core.amount import Amount, Ratio
from core.base.errors import CancelledError, UserError
from core.base.progress import silent
from core.data.corpora import identify_corpus
from core.engine import circumstances, runs
from core.engine.circumstances import Watch
from core.engine.execute import execute
from core.engine.runs import run
from core.engine.session import Session
from core.engine.variants import make_variant
from core.evaluation.packed import FOUR
from core.models.sources import identify
from core.registry import leaves
from core.request.baseline import missing_part
from core.request.expected.estimate import estimate
from core.request.expected.speeds import history_of
from core.request.stages import build_stage, variant_spec
from core.specs import Perplexity, RunSpec, TextWindows, VariantSpec
from core.store.store import Store
from tests.core.engine.applied import stopping

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def chain():
    """A chain: magnitude at 0.5, Wanda at 0.7, a training, and magnitude at 0.8."""
    source, corpus = identify("./tiny"), identify_corpus("text.txt").id
    wanda = build_stage("wanda", Ratio(0.7), calibration=TextWindows(corpus=corpus, windows=4, window=32), seed=1)
    text = TextWindows(corpus=corpus, windows=16, window=24)
    lora = build_stage("lora", settings={"batch": 8, "epochs": 1, "rank": 2}, calibration=text)
    stages = (build_stage("magnitude", Ratio(0.5)), wanda, lora, build_stage("magnitude", Ratio(0.8)))
    return VariantSpec(model=source.id, revision=source.revision, stages=stages)


def made(spec, fresh=False):
    return make_variant(spec, Session([RunSpec(variant=spec)]), silent, fresh)[1]


def test_every_stage_reports_layers_details_and_training(chain):
    result = made(chain)
    assert result.variant.stages == chain.stages and result.variant.key == chain.key
    count = len(result.last_layers)
    assert [layer.stage for layer in result.layers] == [0] * count + [1] * count + [3] * count
    sparsity = [next(layer.sparsity for layer in result.layers if layer.stage == stage) for stage in (0, 1)]
    assert sparsity == pytest.approx([0.5, 0.7], abs=0.02)
    assert ["training" in stage for stage in result.variant.stage_runs] == [False, False, True, False]
    assert all(stage["seconds"] > 0 for stage in result.variant.stage_runs)
    assert variant_spec(result.variant) == chain


def test_a_longer_chain_continues_from_a_shorter_one_with_its_result(chain, applied):
    first = made(chain.prefixes[3])
    applied.clear()
    result = made(chain)
    assert applied == ["magnitude"]
    assert result.variant.stage_runs[:3] == first.variant.stage_runs
    assert result.layers[: len(first.layers)] == first.layers


def test_a_chain_is_stored_and_its_stages_set_the_speed_of_the_next_one(chain):
    store = Store()
    run(RunSpec(variant=chain), store)
    stored = store.get(chain.key)
    assert stored.variant.stages == chain.stages and len(stored.variant.stage_runs) == 4
    for prefix in chain.prefixes[1:]:
        stored = store.get(prefix.key)
        assert stored.variant.stages == prefix.stages
        slow = tuple(
            one | {"seconds": 1e4} if place == 1 else one for place, one in enumerate(stored.variant.stage_runs)
        )
        store.put(stored.model_copy(update={"variant": stored.variant.model_copy(update={"stage_runs": slow})}))
    wanda, magnitude = (chain.model_copy(update={"stages": chain.stages[at : at + 1]}) for at in (1, 0))
    speeds = history_of(store).speeds(chain.model_id)
    assert estimate(RunSpec(variant=wanda), speeds).seconds > 9e3
    assert estimate(RunSpec(variant=magnitude), speeds).seconds < 9e3
    assert estimate(RunSpec(variant=chain, force=True), speeds).seconds > 9e3
    assert estimate(RunSpec(variant=chain), speeds).seconds < 9e3  # as it is cached


@pytest.fixture
def spec():
    source, corpus = identify("./tiny"), identify_corpus("text.txt").id
    variant = VariantSpec(model=source.id, revision=source.revision, stages=(build_stage("magnitude", Ratio(0.5)),))
    texts = tuple(Perplexity(corpus=corpus, window=window, windows=2) for window in (16, 24))
    return RunSpec(variant=variant, perplexity=texts)


def executed(spec, store):
    execute(spec, Session([spec]), store, silent)
    return store.stored(spec.variant.key)


def numbers(result):
    return {row.protocol["window"]: (row.value, row.details["tokens"]) for row in result.measurements}


def test_a_stopped_run_stores_the_texts_that_were_measured(spec, tmp_path):
    store = Store(f"sqlite:///{tmp_path}/stopped.db")
    with pytest.raises(CancelledError):
        execute(spec, Session([spec]), store, stopping(lambda *update: update[-1] == str(spec.perplexity[1])))
    kept = numbers(store.stored(spec.variant.key))
    whole = numbers(executed(spec, Store(f"sqlite:///{tmp_path}/whole.db")))
    assert kept == {16: whole[16]}
    assert {window: tokens for window, (_, tokens) in whole.items()} == {16: 32, 24: 48}


def test_a_run_of_another_version_is_refused(spec, tmp_path):
    (stage,) = spec.variant.stages
    variant = spec.variant.model_copy(update={"stages": (stage.model_copy(update={"version": 99}),)})
    with pytest.raises(UserError, match="This run uses version 99 of Magnitude, but the current version is 1"):
        runs.run(spec.model_copy(update={"variant": variant}), Store(f"sqlite:///{tmp_path}/other.db"))


@pytest.fixture
def quantised(spec):
    stages = (build_stage("rtn", Amount.parse("4bit"), {"group_size": 0}),)
    variant = spec.variant.model_copy(update={"stages": stages})
    return spec.model_copy(update={"variant": variant, "perplexity": spec.perplexity[:1], "latency": True})


def test_modules_with_hooks_are_not_packed(quantised, tmp_path, monkeypatch):
    monkeypatch.setattr("core.engine.execute.leaves", lambda stage: leaves(stage) | {"runtime"})
    found = executed(quantised, Store(f"sqlite:///{tmp_path}/hooks.db"))
    assert {row.protocol["dtype"] for row in found.measurements if row.metric in ("perplexity", "decode")} == {
        "float32"
    }


def test_quantised_latency_comes_with_the_packed_perplexity(quantised, tmp_path):
    found = executed(quantised, Store(f"sqlite:///{tmp_path}/packed.db"))
    rows = {metric: [row for row in found.measurements if row.metric == metric] for metric in ("perplexity", "decode")}
    assert {row.protocol["dtype"] for row in rows["perplexity"]} == {"float32", FOUR}
    assert {row.protocol["dtype"] for row in rows["decode"]} == {FOUR}
    assert missing_part(quantised, found) is None
    alone = found.model_copy(update={"measurements": tuple(rows["perplexity"])})
    assert missing_part(quantised, alone).perplexity == quantised.perplexity


def test_a_watch_tells_other_programs_from_its_own(monkeypatch):
    times = iter([(100.0, 40.0, 7.0), (110.0, 55.0, 17.0)])  # of the clock, of all cores, of this process
    monkeypatch.setattr(circumstances, "_times", lambda: next(times))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert Watch().read() == {"seconds": 10.0, "other_load": 0.25}


def test_work_of_its_own_is_no_load_of_others():
    watch = Watch()
    total = sum(range(3_000_000))
    found = watch.read()
    assert total and found["seconds"] > 0 and 0 <= found["other_load"] <= 1.1
    assert circumstances.circumstances(None, "cpu")["device"].startswith("cpu (")
