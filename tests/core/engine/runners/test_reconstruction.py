"""AdaPrune after other stages: its references, with and without the cache."""

import shutil

import pytest
import torch

from core.amount import Amount
from core.base.paths import cached_variant
from core.base.progress import silent
from core.data.corpora import identify_corpus
from core.engine.runners import by_linear
from core.engine.session import Session
from core.engine.variants import make_variant
from core.models.parts.blocks import find_blocks
from core.models.parts.reference import FILE
from core.models.sources import identify, load_model
from core.request.stages import build_stage
from core.specs import RunSpec, TextWindows, VariantSpec
from tests.core.contract.ground import same

pytestmark = pytest.mark.usefixtures("machine")


def chain(*names, model="./tiny"):
    """Build the stages of these names; each amount exceeds the one before."""
    source, corpus = identify(model), identify_corpus("text.txt").id
    text = TextWindows(corpus=corpus, windows=16, window=24)
    settings = {"lora": {"batch": 8, "epochs": 1, "rank": 2, "learning_rate": 0.01}}
    amounts = {"svd": 0.2, "neuron-magnitude": 0.3, "slimllm": 0.3, "shortgpt": 0.5, "magnitude": 0.5, "sparsegpt": 0.7}
    stages, removed = [], 0.0
    for name in names:
        ratio = amounts.get(name)
        if ratio is not None:
            ratio = removed = max(ratio, round(1 - 0.6 * (1 - removed), 6)) if removed else ratio
        stages.append(build_stage(name, Amount.from_columns(ratio, None), settings.get(name, {}), text))
    return VariantSpec(model=source.id, revision=source.revision, stages=tuple(stages))


def made(spec, fresh=False):
    return make_variant(spec, Session([RunSpec(variant=spec)]), silent, fresh)


@pytest.fixture
def targets(monkeypatch):
    """Return the reference of each linear, in order."""
    updates = []

    def noted(module, weight, dense, resolve=by_linear.resolve_reference):
        wanted = resolve(module, weight, dense)
        updates.append(wanted.clone())
        return wanted

    monkeypatch.setattr(by_linear, "resolve_reference", noted)
    return updates


def weights_of(model):
    return [linear.weight for linear in find_blocks(model).all_linears()]


def all_equal(found, expected):
    return len(found) == len(expected) and all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_masked_weights_are_reconstructed_to_the_dense_model(targets):
    made(chain("magnitude", "adaprune", "sparsegpt"))
    targets.clear()
    _, result = made(chain("magnitude", "adaprune", "sparsegpt", "adaprune"))
    assert all_equal(targets, weights_of(load_model(identify("./tiny"))))
    assert all(layer.error > 0 for layer in result.last_layers)


def test_trained_weights_are_reconstructed_to_the_trained_model(targets):
    learnt = weights_of(made(chain("magnitude", "lora"))[0])
    model, result = made(chain("magnitude", "lora", "adaprune"))
    assert all_equal(targets, learnt) and all_equal(weights_of(model), learnt)
    assert all(layer.error == 0 for layer in result.last_layers)
    targets.clear()
    model, _ = made(chain("magnitude", "lora", "sparsegpt", "adaprune"))
    assert all_equal(targets, learnt) and not all_equal(weights_of(model), learnt)


@pytest.mark.parametrize(
    "names",
    [
        ["sparsegpt", "adaprune", "magnitude", "adaprune"],
        ["magnitude", "lora", "sparsegpt", "adaprune"],
        ["shortgpt", "magnitude", "adaprune"],
        ["svd", "magnitude", "adaprune"],
    ],
    ids="+".join,
)
def test_a_cached_prefix_gives_the_same_as_a_full_run(names, applied):
    spec = chain(*names)
    through, result = made(spec, fresh=True)
    shutil.rmtree(cached_variant(spec.key).parent)
    for count in range(1, len(names)):
        made(spec.prefixes[count])
    applied.clear()
    again, known = made(spec)
    assert applied == names[-1:] and same(through, again)
    assert [layer.error for layer in known.layers] == [layer.error for layer in result.layers]


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_a_cached_variant_without_its_references_is_created_again(damage):
    spec = chain("magnitude", "adaprune")
    file = cached_variant(spec.prefixes[1].key) / FILE
    expected, _ = made(spec)
    shutil.rmtree(cached_variant(spec.key))
    assert file.is_file()
    file.unlink() if damage == "missing" else file.write_bytes(file.read_bytes()[:5])
    model, _ = made(spec)
    assert all_equal(weights_of(model), weights_of(expected))
    assert file.is_file()
