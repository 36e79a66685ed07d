"""Observations of a dense model serve every ratio and do not change the result."""

import pytest

from core.cache import observations as observed
from core.engine.walking.observe import ModelStatistics
from core.registry import get_stage
from tests.core.cache.test_damaged import flip
from tests.core.contract.ground import same
from tests.core.engine import applied
from tests.core.engine.applied import CALIBRATION
from tests.core.tiny import tiny

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def looks(monkeypatch):
    """Return the methods that observed the model, in order."""
    seen, look = [], ModelStatistics.tensors
    monkeypatch.setattr(
        ModelStatistics, "tensors", lambda self, name: seen.append(self.method.name) or look(self, name)
    )
    return seen


def shrunk(method, ratio, before, calibration=CALIBRATION, **settings):
    model = tiny(num_hidden_layers=4)
    applied.shrunk(model, method, ratio, before=before, calibration=calibration, **settings)
    return model


@pytest.mark.matrix(method=lambda name: (get_stage(name).kind, get_stage(name).observes))
@pytest.mark.parametrize("method", ["llm-pruner", "loraprune", "hywia", "flap", "shortgpt", "slimllm"])
def test_a_second_ratio_observes_nothing_and_gives_the_same_model(method, looks):
    shrunk(method, 0.25, "dense")
    assert looks == [method]
    kept = shrunk(method, 0.5, "dense")
    assert looks == [method]
    fresh = shrunk(method, 0.5, None)
    assert looks == [method, method]
    assert same(kept, fresh)


def test_observations_depend_on_model_text_and_kind_and_are_shared(looks):
    shrunk("llm-pruner", 0.3, "dense", taylor="first")
    shrunk("hywia", 0.3, "dense")  # needs the squares, too
    assert looks == ["llm-pruner", "hywia"]
    shrunk("llm-pruner", 0.3, "dense", taylor="mix")
    shrunk("hywia", 0.3, "another model")
    shrunk("llm-pruner", 0.3, "another model", taylor="first")
    assert looks == ["llm-pruner", "hywia", "hywia"]
    shrunk("hywia", 0.3, "dense", CALIBRATION.model_copy(update={"corpus": "another"}))
    assert looks == ["llm-pruner", "hywia", "hywia", "hywia"]


def test_a_damaged_file_is_observed_again(cache, looks):
    shrunk("shortgpt", 0.3, "dense")
    (file,) = cache.glob(f"observed/*/{observed.FILE}")
    flip(file)
    shrunk("shortgpt", 0.5, "dense")
    assert looks == ["shortgpt", "shortgpt"]


def test_spectra_of_other_layers_are_observed_again():
    made = []
    for layers in ("0:2", "2:4"):
        kept, fresh = (shrunk("svd-llm", 0.3, before, layers=layers, ranks="global") for before in ("dense", None))
        assert same(kept, fresh)
        made.append(fresh)
    assert not same(*made)
