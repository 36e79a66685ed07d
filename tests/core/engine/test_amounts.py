"""The ratio of a chain of stages: the share of the dense model's weights that the chain removes."""

import copy
from itertools import product

import pytest
import torch

from core.amount import Amount, Ratio
from core.base.errors import UserError
from core.base.progress import silent
from core.context import Context, StageInput
from core.data.corpora import identify_corpus
from core.engine.session import Session
from core.engine.stages import apply
from core.engine.variants import make_variant
from core.methods.linear import Statistics, Target
from core.methods.numerics.hessian import factorise
from core.methods.numerics.masks import global_counts
from core.methods.numerics.sweep import sweep
from core.methods.unstructured.wanda import Wanda
from core.models.facts import dense_sizes
from core.models.parts.blocks import find_blocks, select
from core.models.parts.sizes import linear_sizes
from core.models.sources import identify, load_model
from core.notation.removal import counted_removed_fraction
from core.registry import get_stage
from core.request.stages import build_stage
from core.specs import RunSpec, TextWindows, VariantSpec
from tests.core.contract.ground import left, linears, same
from tests.core.engine.applied import CALIBRATION
from tests.core.tiny import tiny, windows

UNSTRUCTURED = [
    ("magnitude", {}),
    ("magnitude", {"allocation": "global"}),
    ("wanda", {}),
    ("wanda", {"allocation": "global"}),
    ("ria", {}),
    ("sparsegpt", {"mask_block": 16}),
    ("sparsegpt", {"true_sequential": False}),
]


def name_of(method):
    return method[0]


def named(method):
    return " ".join([method[0], *map(str, method[1].values())])


class Chain:
    """A tiny model to which the tests apply one stage after the other."""

    def __init__(self, name="llama-gqa", **changes):
        self.model = tiny(name, **changes)
        self.sizes = linear_sizes(self.model)
        self.dense = sum(self.sizes.values())

    def then(self, method, ratio=None, layers=None, pattern=None, **settings):
        stage = build_stage(method, Amount.from_columns(ratio, pattern), settings, CALIBRATION, layers=layers)
        apply(self.model, StageInput(stage, windows(), dense_sizes=self.sizes), Context(torch.device("cpu")))
        return self

    @property
    def removed(self):
        return self.dense - left(self.model)

    @property
    def zeros(self):
        return {linear.name: linear.weight == 0 for linear in linears(self.model)}

    def removed_of(self, layers):
        chosen = select(linears(self.model), layers, len(find_blocks(self.model).holder))
        return sum(int((linear.weight == 0).sum()) for linear in chosen), sum(self.sizes[one.name] for one in chosen)


@pytest.mark.matrix(first=name_of, second=name_of)
@pytest.mark.parametrize(("first", "second"), product(UNSTRUCTURED, UNSTRUCTURED), ids=named)
def test_the_second_of_two_prunings_sets_the_ratio(first, second):
    chain = Chain().then(first[0], 0.3, **first[1])
    earlier = chain.zeros
    chain.then(second[0], 0.523, **second[1])
    assert chain.removed == round(0.523 * chain.dense)
    assert not any((earlier[name] & ~zeros).any() for name, zeros in chain.zeros.items())


@pytest.mark.matrix(second=name_of)
@pytest.mark.parametrize("second", UNSTRUCTURED, ids=named)
def test_a_linear_above_the_level_keeps_its_zeros_and_others_compensate(second):
    chain = Chain().then("magnitude", 0.7, layers="0:0").then(second[0], 0.5, **second[1])
    assert chain.removed == round(0.5 * chain.dense)
    (first, size), (last, same_size) = chain.removed_of("0:0"), chain.removed_of("1:1")
    assert size == same_size and first >= round(0.7 * size) - 4 and last <= round(0.3 * size) + 4


def test_with_layers_the_ratio_refers_to_them():
    chain = Chain().then("magnitude", 0.3)
    before = chain.zeros
    chain.then("wanda", 0.6, layers="1:1")
    removed, size = chain.removed_of("1:1")
    assert removed == round(0.6 * size)
    assert all(torch.equal(zeros, before[name]) for name, zeros in chain.zeros.items() if ".0." in name)


@pytest.mark.matrix(first=name_of, second=name_of)
@pytest.mark.parametrize("second", UNSTRUCTURED, ids=named)
@pytest.mark.parametrize(
    "first",
    [
        ("flap", {}),
        ("slimllm", {}),
        ("llm-pruner", {"granularity": "channel"}),
        ("shortgpt", {}),
        ("slicegpt", {}),
        ("lorap", {}),
        ("svd-llm", {"ranks": "global"}),
    ],
    ids=named,
)
def test_zeros_add_to_removed_weights(first, second):
    chain = Chain(num_hidden_layers=4).then(first[0], 0.3, **first[1]).then(second[0], 0.5, **second[1])
    assert chain.removed == round(0.5 * chain.dense)


@pytest.mark.matrix()
@pytest.mark.parametrize(
    ("first", "second"),
    [
        *product(["flap", "shortgpt", "slimllm"], ["flap", "slimllm", "lorap", "svd", "neuron-magnitude"]),
        *product(["slicegpt"], ["flap", "slimllm", "lorap"]),
    ],
)
def test_two_removals_end_at_the_second_ratio(first, second):
    chain = Chain("llama-mha", num_hidden_layers=4, intermediate_size=96).then(first, 0.25).then(second, 0.5)
    assert chain.removed == pytest.approx(0.5 * chain.dense, abs=3 * 32 + 1)  # a channel


@pytest.mark.parametrize("second", ["flap", "slimllm", "neuron-magnitude"])
def test_removed_units_include_their_zeros(second):
    chain = Chain("llama-mha", num_hidden_layers=4).then("wanda", 0.3).then(second, 0.6)
    assert chain.removed / chain.dense == pytest.approx(0.6, abs=0.02)  # 0.72 if zeros did not count


def test_hidden_states_can_be_reduced_twice():
    settings = {"granularity": "channel"}
    chain = Chain(num_hidden_layers=4).then("llm-pruner", 0.25, **settings).then("llm-pruner", 0.5, **settings)
    assert chain.removed == chain.dense // 2
    assert {p.shape[1] for p in chain.model.get_input_embeddings().parameters()} == {16}


@pytest.mark.parametrize(("kept", "group"), [(2, 4), (4, 8)])
@pytest.mark.parametrize("second", ["magnitude", "wanda", "sparsegpt"])
def test_a_pattern_prunes_constrained_zeros_first(second, kept, group):
    chain = Chain().then("magnitude", 0.3)
    earlier = chain.zeros
    chain.then(second, pattern=f"{kept}:{group}")
    for name, zeros in chain.zeros.items():
        before = earlier[name].unflatten(1, (-1, group)).sum(-1)
        assert torch.equal(zeros.unflatten(1, (-1, group)).sum(-1), before.clamp_min(group - kept))
        assert not (earlier[name] & ~zeros).any()


@pytest.mark.matrix(second=lambda name: get_stage(name).kind)
@pytest.mark.parametrize("second", ["magnitude", "wanda", "sparsegpt", "flap", "shortgpt", "llm-pruner"])
def test_a_ratio_below_the_removed_share_is_rejected_before_any_change(second):
    chain = Chain(num_hidden_layers=4).then("magnitude", 0.5)
    before = copy.deepcopy(chain.model)
    with pytest.raises(UserError, match=r"targets 30\.0 %, but 50\.0 % of the weights are already removed"):
        chain.then(second, 0.3)
    assert same(chain.model, before)


def test_a_constrained_zero_is_pruned_before_the_weights_of_a_dead_input():
    weight = torch.tensor([[5.0, 0.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0]])
    zeros = weight == 0
    dead = Statistics(9, {"sqnorm": torch.tensor([0.0, 1.0, 1.0, 1.0])})
    result = Wanda().compress(weight.clone(), dead, Target(2 / 8, zeros=zeros))
    assert result.weight.tolist() == [[5, 0, 3, 2], [0, 4, 3, 2]]


def test_a_row_above_its_share_keeps_its_zeros_and_others_are_pruned_less():
    weight = torch.arange(1.0, 13.0).view(3, 4)
    zeros = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]]).bool()
    equal = Statistics(9, {"sqnorm": torch.ones(4)})
    result = Wanda().compress(weight.masked_fill(zeros, 0), equal, Target(6 / 12, zeros=zeros))
    assert result.zeros.tolist() == [[True] * 4, [True, False, False, False], [False, False, False, True]]


def test_the_cap_of_global_ranking_preserves_zeros():
    scores = {"full": torch.full((10, 10), -torch.inf), "free": torch.rand(10, 10), "large": torch.rand(10, 10) + 1}
    counts = global_counts(dict.fromkeys(scores, 100), scores.get, 0.6, 0.5, {"full": 100, "free": 0, "large": 0})
    assert counts == {"full": 100, "free": 50, "large": 30}


@pytest.mark.parametrize("pattern", [None, (2, 4)])
def test_the_sweep_compensates_constrained_zeros_like_every_pruned_weight(pattern):
    torch.manual_seed(0)
    weight, inputs = torch.randn(12, 32), torch.randn(200, 32) @ torch.randn(32, 32)
    upper = factorise(inputs.T @ inputs, 0.01).upper
    zeros = torch.rand(12, 32) < 0.2
    zeros[:, :8] |= torch.rand(12, 8) < 0.7  # above the ratio in these columns
    weight = weight.masked_fill(zeros, 0)
    swept, pruned = sweep(weight, upper, 0.5, pattern, mask_block=8, block_size=4, zeros=zeros)
    assert not (zeros & ~pruned).any()
    assert pattern or int(pruned.sum()) == round(0.5 * weight.numel())
    again, _ = sweep(weight, upper, 0.5, mask_block=8, block_size=4, mask=pruned)
    assert torch.allclose(swept, again, atol=1e-5)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("layers", [None, "0:0"])
def test_a_cached_prefix_counts_from_the_dense_model_too(layers):
    source = identify("./tiny")
    assert dense_sizes(source) == linear_sizes(load_model(source))
    text = TextWindows(corpus=identify_corpus("text.txt").id, windows=4, window=32)
    stages = (
        build_stage("flap", Ratio(0.3), calibration=text),
        build_stage("wanda", Ratio(0.6), calibration=text, layers=layers),
    )
    spec = VariantSpec(model=source.id, revision=source.revision, stages=stages[:1])
    session = Session([RunSpec(variant=spec)])
    make_variant(spec, session, silent)
    whole = spec.model_copy(update={"stages": stages})
    further, result = make_variant(whole, session, silent)
    at_once, _ = make_variant(whole, session, silent, fresh=True)
    assert same(further, at_once)
    assert counted_removed_fraction(result) == pytest.approx(0.6, abs=1e-3)
