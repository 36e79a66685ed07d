"""A run of several texts: each number is stored as soon as its text is read."""

import pytest

from core.data.corpora import identify_corpus
from core.engine.execute import execute
from core.errors import Cancelled
from core.models.sources import identify
from core.progress import silent
from core.request.stages import build_stage
from core.specs import Perplexity, RunSpec, VariantSpec
from core.store.store import Store

pytestmark = pytest.mark.usefixtures("machine")


@pytest.fixture
def run():
    source, corpus = identify("./tiny"), identify_corpus("text.txt").id
    variant = VariantSpec(model=source.id, revision=source.revision, stages=(build_stage("magnitude", 0.5),))
    texts = tuple(Perplexity(corpus=corpus, window=window, windows=2) for window in (16, 24))
    return RunSpec(variant=variant, perplexity=texts)


def numbers(result):
    return {row.protocol["window"]: (row.value, row.details["tokens"]) for row in result.measurements}


def test_a_run_that_is_stopped_keeps_the_texts_that_were_read(run, tmp_path):
    def stop(stage, done, total, what=""):
        if what == str(run.perplexity[1]):
            raise Cancelled

    store = Store(f"sqlite:///{tmp_path}/stopped.db")
    with pytest.raises(Cancelled):
        execute(run, store, stop)
    kept = numbers(store.stored(run.variant.key))
    whole = numbers(execute(run, Store(f"sqlite:///{tmp_path}/whole.db"), silent))
    assert kept == {16: whole[16]}
    assert {window: tokens for window, (_, tokens) in whole.items()} == {16: 32, 24: 48}
