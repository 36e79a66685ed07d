"""The default model streamed from disk: weights, perplexity and stored rows equal those of the whole model."""

import pytest
import torch

from core.engine.runs import run
from core.engine.walking import walk_modes
from core.request.complete import complete
from core.request.stages import DEFAULT_MODEL
from core.specs import Perplexity, TextWindows
from core.store.store import Store
from tests.core.engine.test_streaming import CHAINS, made

pytestmark = [pytest.mark.real, pytest.mark.full, pytest.mark.usefixtures("results_dir")]


def requested(chain, **more):
    text = Perplexity.parse("wikitext2@128:2")
    return complete(DEFAULT_MODEL, chain, calibration=TextWindows.parse("c4-sample:4x128"), perplexity=[text], **more)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path))


@pytest.mark.parametrize("chain", CHAINS)
def test_the_default_model_gives_the_same_weights_and_rows(chain, monkeypatch):
    chain = chain.replace(",group_size=0", "")
    monkeypatch.setattr(walk_modes, "choose_walk_mode", lambda *args: (1, 0))
    weights, value, details = made(requested(chain))
    assert "execution" not in details
    streamed, same, how = made(requested(chain, memory=1))
    assert how["execution"] == "streaming" and same == value
    assert weights.keys() == streamed.keys() and all(torch.equal(weights[name], streamed[name]) for name in weights)


@pytest.mark.parametrize("chain", ["wanda@0.5", "gptq@4bit"])
def test_both_forms_of_the_walk_on_a_cpu_agree(chain, monkeypatch):
    found = []
    for limit in (None, 0):  # activations in memory, and on disk
        monkeypatch.setattr(walk_modes, "choose_walk_mode", lambda *args, limit=limit: (1, limit))
        spec = requested(chain).model_copy(update={"force": True})
        found.append(run(spec, Store()).measurements[0].value)
    assert found[0] == found[1]
