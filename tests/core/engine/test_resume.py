"""An interrupted stage reuses its finished linears and gives the result of an uninterrupted one."""

import pytest
import torch

from core.amount import Amount, Ratio
from core.cache.linears import ROOT
from core.data.corpora import identify_corpus
from core.engine.session import Session
from core.engine.variants import make_variant
from core.errors import CancelledError
from core.methods.unstructured.obs import OBS
from core.methods.unstructured.sparsegpt import SparseGPT
from core.models.sources import identify
from core.paths import cache_dir
from core.progress import silent
from core.request.stages import build_stage
from core.specs import RunSpec, TextWindows, VariantSpec

pytestmark = pytest.mark.usefixtures("machine")

LINEARS, FIRST = 14, 5  # of the small model; finished before the interruption


def spec_of(*names, ratio=0.5, **settings):
    source, corpus = identify("./tiny"), identify_corpus("text.txt").id
    text = TextWindows(corpus=corpus, windows=8, window=24)
    stages = [build_stage("magnitude", Ratio(0.3))] if names[1:] else []
    stages.append(build_stage(names[-1], Amount.from_columns(ratio, None), settings, text))
    return VariantSpec(model=source.id, revision=source.revision, stages=tuple(stages))


def made(spec, progress=silent, fresh=False):
    return make_variant(spec, Session([RunSpec(variant=spec)]), progress, fresh)


def stopping(error, after=FIRST, stage=1):
    """Build a progress function that stops a stage after a number of linears."""
    begun = 0

    def progress(what, done, total, detail=""):
        nonlocal begun
        if what == "compress":
            begun += done == 0
            if begun == stage and done == after:
                raise error

    return progress


def kept():
    return sorted((cache_dir() / ROOT).glob("*/*"))


@pytest.fixture
def computed(monkeypatch):
    """Count the linears that each of two methods computes."""
    counts = {}
    for method in (OBS, SparseGPT):

        def noted(self, *given, method=method, compress=method.compress):
            counts[method.name] = counts.get(method.name, 0) + 1
            return compress(self, *given)

        monkeypatch.setattr(method, "compress", noted)
    return counts


def reports_of(result):
    """Return the report of each linear, without its seconds."""
    return [layer.model_copy(update={"seconds": None}) for layer in result.layers]


def check_same(one, other):
    (ours, mine), (theirs, other_result) = one, other
    assert reports_of(mine) == reports_of(other_result)
    for (name, tensor), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(tensor, expected), name


@pytest.mark.parametrize("error", [CancelledError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("names", [("obs",), ("magnitude", "obs")], ids=len)
def test_a_resumed_stage_gives_the_same_result(names, error, computed):
    spec = spec_of(*names, ratio=0.5)
    with pytest.raises(error):
        made(spec, stopping(error, stage=len(names)))
    assert len(kept()) == FIRST and computed == {"obs": FIRST}
    resumed = made(spec)
    assert computed == {"obs": LINEARS}
    check_same(resumed, made(spec, fresh=True))
    assert kept() == [] and list((cache_dir() / ROOT).iterdir()) == []


def test_a_damaged_linear_is_computed_again(computed):
    spec = spec_of("obs")
    with pytest.raises(CancelledError):
        made(spec, stopping(CancelledError))
    broken, cut, *_ = kept()
    content = broken.read_bytes()
    broken.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cut.write_bytes(cut.read_bytes()[:50])
    resumed = made(spec)
    assert computed == {"obs": LINEARS + 2}
    check_same(resumed, made(spec, fresh=True))


def test_the_time_of_linears_from_an_interrupted_run_counts(monkeypatch):
    spec, compress = spec_of("obs"), OBS.compress
    clock = [0.0]
    monkeypatch.setattr("core.engine.runners.by_linear.time.perf_counter", lambda: clock[0])

    def slow(self, *given):
        clock[0] += 100
        return compress(self, *given)

    monkeypatch.setattr(OBS, "compress", slow)
    with pytest.raises(CancelledError):
        made(spec, stopping(CancelledError))
    _, result = made(spec)
    assert [layer.seconds for layer in result.layers] == [100] * LINEARS
    assert result.variant.details["seconds"] == 100 * LINEARS


def test_another_amount_stage_or_model_reuses_nothing(computed):
    with pytest.raises(CancelledError):
        made(spec_of("obs"), stopping(CancelledError))
    made(spec_of("obs", ratio=0.6))
    made(spec_of("obs", damping=0.1))
    made(spec_of("magnitude", "obs"))
    assert computed == {"obs": FIRST + 3 * LINEARS}
    assert len(kept()) == FIRST  # of the other run, which can still resume
    made(spec_of("obs"))
    assert computed == {"obs": 4 * LINEARS} and kept() == []


def test_a_forced_run_and_a_fast_method_cache_nothing(computed):
    with pytest.raises(CancelledError):
        made(spec_of("obs"), stopping(CancelledError), fresh=True)
    with pytest.raises(CancelledError):
        made(spec_of("sparsegpt"), stopping(CancelledError))
    assert kept() == []
    made(spec_of("obs"))
    made(spec_of("sparsegpt"))
    assert computed == {"obs": FIRST + LINEARS, "sparsegpt": FIRST + LINEARS}


def test_on_a_full_disk_nothing_is_cached_and_the_stage_still_runs(computed, monkeypatch):
    monkeypatch.setattr("core.cache.linears.FREE_BYTES", 2**80)
    with pytest.raises(CancelledError):
        made(spec_of("obs"), stopping(CancelledError))
    assert kept() == []
    made(spec_of("obs"))
    assert computed == {"obs": FIRST + LINEARS}


def test_abandoned_linears_make_room_for_others(monkeypatch):
    with pytest.raises(CancelledError):
        made(spec_of("obs"), stopping(CancelledError))
    monkeypatch.setattr("core.cache.linears.CACHE_BYTES", 0)
    with pytest.raises(CancelledError):
        made(spec_of("obs", ratio=0.6), stopping(CancelledError, after=1))
    assert len(kept()) == 1
