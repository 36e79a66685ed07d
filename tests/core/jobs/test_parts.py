"""Which jobs wait for others: those that need a part that another one computes."""

import pytest

from core.cache.storage import shared_storage
from core.engine.runs import run
from core.jobs.parts import must_wait
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity, TextWindows
from core.store.store import Store


def job(chain, text="text.txt@32:2", **how):
    """The JSON of a run of the small model."""
    return spec(chain, text, **how).model_dump_json()


def spec(chain, text="text.txt@32:2", **how):
    calibration = TextWindows.parse("text.txt:2x32")
    return complete("tiny", chain, RunSettings(calibration=calibration, perplexity=[Perplexity.parse(text)], **how))


def test_jobs_wait_until_the_dense_model_is_measured(machine):
    store = Store()
    assert must_wait(job("wanda@0.5"), [job("dense")], store, local=False)
    assert must_wait(job("wanda@0.5", threads=1), [job("magnitude@0.5", force=True)], store, local=False)
    assert not must_wait(job("wanda@0.5", text="text.txt@16:2"), [job("dense")], store, local=False)
    assert not must_wait(job("wanda@0.5"), [], store, local=False)
    run(spec("dense"), store)
    assert not must_wait(job("wanda@0.5"), [job("magnitude@0.5")], store, local=False)


@pytest.mark.parametrize("where", ["here", "shared", "elsewhere"])
def test_jobs_wait_for_a_variant_that_they_can_use(machine, tmp_path, monkeypatch, where):
    store = Store()
    if where == "shared":
        monkeypatch.setenv("SLIMSCOPE_STORAGE", str(tmp_path / "team"))
        assert shared_storage() is not None
    run(spec("dense"), store)
    longer, first = job("wanda@0.5+rtn@8bit,group_size=16"), job("wanda@0.5+rtn@4bit,group_size=16")
    assert must_wait(longer, [first], store, local=where == "here") == (where != "elsewhere")
    assert not must_wait(longer, [job("wanda@0.3+rtn@4bit,group_size=16")], store, local=True)
    run(spec("wanda@0.5"), store)
    assert not must_wait(longer, [first], store, local=True)
