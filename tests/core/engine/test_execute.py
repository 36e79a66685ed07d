"""A run of several texts: each number is stored as soon as its text is measured."""

import pytest

from core.amount import Amount, Ratio
from core.base.errors import CancelledError, UserError
from core.base.progress import silent
from core.data.corpora import identify_corpus
from core.engine import runs
from core.engine.execute import execute
from core.engine.session import Session
from core.evaluation.packed import FOUR
from core.models.sources import identify
from core.registry import leaves
from core.request.baseline import missing_part
from core.request.stages import build_stage
from core.specs import Perplexity, RunSpec, VariantSpec
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def run():
    source, corpus = identify("./tiny"), identify_corpus("text.txt").id
    variant = VariantSpec(model=source.id, revision=source.revision, stages=(build_stage("magnitude", Ratio(0.5)),))
    texts = tuple(Perplexity(corpus=corpus, window=window, windows=2) for window in (16, 24))
    return RunSpec(variant=variant, perplexity=texts)


def executed(spec, store):
    execute(spec, Session([spec]), store, silent)
    return store.stored(spec.variant.key)


def numbers(result):
    return {row.protocol["window"]: (row.value, row.details["tokens"]) for row in result.measurements}


def test_a_stopped_run_stores_the_texts_that_were_measured(run, tmp_path):
    def stop(stage, done, total, what=""):
        if what == str(run.perplexity[1]):
            raise CancelledError

    store = Store(f"sqlite:///{tmp_path}/stopped.db")
    with pytest.raises(CancelledError):
        execute(run, Session([run]), store, stop)
    kept = numbers(store.stored(run.variant.key))
    whole = numbers(executed(run, Store(f"sqlite:///{tmp_path}/whole.db")))
    assert kept == {16: whole[16]}
    assert {window: tokens for window, (_, tokens) in whole.items()} == {16: 32, 24: 48}


def test_a_run_of_another_version_is_refused(run, tmp_path):
    (stage,) = run.variant.stages
    variant = run.variant.model_copy(update={"stages": (stage.model_copy(update={"version": 99}),)})
    with pytest.raises(UserError, match="This run uses version 99 of Magnitude, but the current version is 1"):
        runs.run(run.model_copy(update={"variant": variant}), Store(f"sqlite:///{tmp_path}/other.db"))


@pytest.fixture
def quantised(run):
    stages = (build_stage("rtn", Amount.parse("4bit"), {"group_size": 0}),)
    variant = run.variant.model_copy(update={"stages": stages})
    return run.model_copy(update={"variant": variant, "perplexity": run.perplexity[:1], "latency": True})


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
