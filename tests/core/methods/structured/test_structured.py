"""Structured pruning: masking equals slicing, the requested share is removed, and the model shrinks."""

import copy
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from core.amount import Ratio
from core.base.errors import UserError
from core.base.progress import silent
from core.context import Context, StageInput
from core.engine.runners.by_slicing import slice_model
from core.evaluation.generation.generate import step
from core.methods.structured.base import StructuredMethod, UnitMethod, keep_largest
from core.methods.structured.budget import LEAST_CHANNELS, Removal, allocate, allocate_globally, uniform
from core.methods.structured.gradients import KeepEndBlocks
from core.methods.structured.hywia import HyWIA
from core.methods.structured.llm_pruner import LLMPruner
from core.methods.structured.loraprune import LoRAPrune
from core.methods.structured.slicegpt import SliceGPT
from core.models.parts.blocks import find_blocks
from core.models.removal.geometry import Geometry, choose_mode
from core.models.removal.units import KeptUnits, Units, find_units
from core.registry import METHODS
from core.request.stages import build_stage
from core.specs import Stage
from tests.core.engine.applied import CALIBRATION, block_weights, compress, shrunk
from tests.core.tiny import tiny, windows

STRUCTURED = [one for one in METHODS if issubclass(one, StructuredMethod) and one.kind != "experts"]
UNITS = [method for method in STRUCTURED if issubclass(method, UnitMethod)]
SHAPES = ["llama-gqa", "llama-mha", "opt"]
OTHER_MODELS = {"uneven blocks": (0.2, 0.85), "16 bits": (0.4, 0.8)}  # ratios, and the most that may be left
SMOL = Geometry(hidden=576, query_heads=9, kv_heads=3, head_dim=64, channels=1536, ffn_matrices=3, mode="even")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("method", UNITS, ids=lambda method: method.name)
def test_slicing_equals_masking(method, name, monkeypatch):
    sliced = tiny(name, num_hidden_layers=4).double()
    masked = copy.deepcopy(sliced)
    shrunk(sliced, method.name)
    monkeypatch.setattr(Units, "shrink", lambda self, kept: None)
    shrunk(masked, method.name)
    tokens = windows(2, 20, seed=3)
    assert block_weights(sliced) < block_weights(masked)
    torch.testing.assert_close(sliced(tokens).logits, masked(tokens).logits, rtol=1e-9, atol=1e-9)


@pytest.mark.matrix(case=lambda case: (case[0].kind, case[1]))
@pytest.mark.parametrize("case", product(STRUCTURED, OTHER_MODELS), ids=lambda case: f"{case[0].name} {case[1]}")
def test_other_models_are_shrunk_like_plain_ones(case):
    model, (method, other) = tiny(num_hidden_layers=4), case
    if other == "16 bits":
        model.to(torch.bfloat16)
    else:
        shrunk(model, "flap", 0.3)
        assert len({block.mlp.up_proj.out_features for block in model.model.layers}) > 1
    before, dtype, (ratio, most) = block_weights(model), model.dtype, OTHER_MODELS[other]
    shrunk(model, method.name, ratio)
    assert block_weights(model) < most * before or method.name == "slicegpt"  # which adds shortcuts
    logits = model(windows()).logits
    assert logits.dtype == dtype and torch.isfinite(logits).all()


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
@pytest.mark.parametrize(
    "shape",
    [
        SMOL,
        Geometry(hidden=4096, query_heads=32, kv_heads=32, head_dim=128, channels=11008, ffn_matrices=3),
        Geometry(hidden=4096, query_heads=32, kv_heads=8, head_dim=128, channels=14336, ffn_matrices=3),
        Geometry(hidden=768, query_heads=12, kv_heads=12, head_dim=64, channels=3072, ffn_matrices=2),
    ],
    ids=["smollm2-135m", "llama-7b", "llama-3-8b", "opt-125m"],
)
def test_budget_is_met_within_one_channel(shape, ratio):
    shapes, rising = [shape] * 30, [ratio * 2 * (index + 0.5) / 30 for index in range(30)]
    for shares in (uniform(shapes, ratio), uniform(shapes, ratio, 4, 27), rising):
        removals = allocate(shapes, ratio, shares)
        removed = sum(r.steps * shape.step_weights + r.channels * shape.channel_weights for r in removals)
        assert abs(removed / (30 * shape.weights) - ratio) < 0.002
        assert all(r.steps <= shape.steps and r.channels <= shape.channels - LEAST_CHANNELS for r in removals)


def test_lowest_scores_per_weight_are_removed_first():
    shapes = [Geometry(hidden=4, query_heads=2, kv_heads=2, head_dim=2, channels=20, ffn_matrices=3)] * 2
    removals = allocate_globally(shapes, 0.25, [[0.5], [9.0]], [[float(i) for i in range(20)], [100.0] * 20])
    removed = sum(r.steps * shapes[0].step_weights + r.channels * shapes[0].channel_weights for r in removals)
    assert removals[0].steps == 1
    assert removals[1] == allocate_globally(shapes, 0, [[], []], [[], []])[1]
    assert abs(removed - 0.25 * 2 * shapes[0].weights) <= shapes[0].channel_weights / 2


def test_channels_compensate_for_an_overshooting_step():
    shape = Geometry(hidden=4, query_heads=2, kv_heads=2, head_dim=2, channels=20, ffn_matrices=3)
    assert (shape.step_weights, shape.channel_weights) == (32, 12)
    removals = allocate_globally([shape], 90 / shape.weights, [[9.0]], [[*range(6), *[10.0] * 14]])
    assert removals == [Removal(steps=1, channels=5)]  # 92 of 90 weights, not 6 channels and so 104


def test_shortgpt_drops_the_least_changing_blocks_and_cache_works():
    model = tiny(num_hidden_layers=5)
    blocks = find_blocks(model)
    for index in (1, 3):  # next to nothing is added to the residual stream
        for role in ("o", "down"):
            find_units(blocks, index).linears[role].module.weight.data.mul_(1e-3)
    expected = copy.deepcopy(model)
    expected.model.layers = torch.nn.ModuleList(expected.model.layers[index] for index in (0, 2, 4))
    expected.config.num_hidden_layers = 3
    reports = shrunk(model, "shortgpt", 0.4)
    torch.testing.assert_close(model(windows(), use_cache=False).logits, expected(windows(), use_cache=False).logits)
    assert {report.block for report in reports if report.sparsity == 1} == {1, 3}
    tokens = windows(1, 12)
    prefix = step(model, tokens[:, :-1]).cache
    stepped = step(model, tokens[:, -1:], prefix).logits
    torch.testing.assert_close(stepped[:, -1], model(tokens).logits[:, -1])


@pytest.mark.parametrize(("method", "settings"), [("shortgpt", {}), ("llm-pruner", {"granularity": "layer"})])
def test_removing_less_than_half_a_block_is_rejected(method, settings):
    model = tiny(num_hidden_layers=5)
    with pytest.raises(UserError, match=r"less than half of one of the 5 blocks.*give 0\.2 or more"):
        shrunk(model, method, 0.05, **settings)
    assert len(model.model.layers) == 5


def test_layer_wise_pruning_keeps_the_first_blocks():
    model = tiny(num_hidden_layers=5)
    shrunk(model, "llm-pruner", 0.4, granularity="layer")
    assert len(model.model.layers) == model.config.num_hidden_layers == 3
    ours, theirs = (one.model.layers[2].mlp.up_proj.weight for one in (model, tiny(num_hidden_layers=5)))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.matrix(name=lambda name: name == "opt")
@pytest.mark.parametrize("name", ["llama-gqa", "llama-mha", "opt", "qwen3", "mistral"])
def test_a_rotation_that_cuts_nothing_changes_nothing(name):
    model = tiny(name, num_hidden_layers=3).double()
    tokens = windows()
    dense = model(tokens).logits
    as_wide = Stage(method="slicegpt", ratio=-0.5)  # as it was, with shortcuts
    given = StageInput(as_wide, tokens, decoder=find_blocks(model))
    slice_model(model, SliceGPT(), given, Context(torch.device("cpu")))
    # Llama's own norms compute in fp32.
    torch.testing.assert_close(model(tokens).logits, dense, rtol=1e-3, atol=1e-4)
    prefix = step(model, tokens[:, :-1]).cache
    stepped = step(model, tokens[:, -1:], prefix).logits
    torch.testing.assert_close(stepped[:, -1], dense[:, -1], rtol=1e-3, atol=1e-4)


def test_slicegpt_keeps_the_needed_hidden_dimensions():
    """States that fill only half of the hidden space lose nothing when the other half is cut."""
    model = tiny(num_hidden_layers=2).double()
    half = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    half = half[:, :12] @ half[:, :12].T
    model.model.embed_tokens.weight.data = model.model.embed_tokens.weight.data.double() @ half
    blocks = find_blocks(model)
    for index in range(2):
        for role in ("o", "down"):
            weight = find_units(blocks, index).linears[role].module.weight
            weight.data = half @ weight.data
    model.tie_weights()
    dense = model(windows()).logits
    shrunk(model, "slicegpt", 0.3)
    assert blocks.holder[0].attention_shortcut.in_features < 32
    torch.testing.assert_close(model(windows()).logits, dense, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["neuron-magnitude", "flap"])
def test_removing_too_much_is_rejected_unchanged(method):
    model = tiny()
    with pytest.raises(UserError, match="The ratio is too high"):
        shrunk(model, method, 0.9)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), tiny().parameters(), strict=True))


@pytest.mark.parametrize(("queries", "keys", "mode"), [(9, 3, "even"), (32, 8, "groups"), (12, 12, "groups")])
def test_whole_groups_are_removed_if_there_are_many(queries, keys, mode):
    assert choose_mode("auto", queries, keys) == mode


TINY_LLAMA = {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "vocab_size": 32000}
TINY_LLAMA |= {"num_attention_heads": 32, "num_key_value_heads": 4, "tie_word_embeddings": False}


def test_llm_pruner_at_a_quarter_matches_the_published_counts():
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY_LLAMA))
    blocks = find_blocks(model)
    assert sum(p.numel() for p in model.parameters()) == 1_100_048_384
    units = [find_units(blocks, index, "groups") for index in range(len(blocks.holder))]
    shapes = [unit.geometry for unit in units]
    first, last = 4, 17
    ratio = 0.25 * (last - first + 1) / len(shapes)
    for unit, removal in zip(units, allocate(shapes, ratio, uniform(shapes, ratio, first, last)), strict=True):
        shape = unit.geometry
        groups = shape.kv_heads - removal.steps
        kept = (groups * shape.group, groups, shape.channels - removal.channels)
        unit.shrink(KeptUnits(*map(torch.arange, kept)))
    assert sum(p.numel() for p in model.parameters()) == 945_907_712


@pytest.mark.gpu
@pytest.mark.parametrize("method", STRUCTURED, ids=lambda method: method.name)
def test_gpu_and_cpu_remove_the_same_units(method):
    on_cpu, on_gpu = tiny(num_hidden_layers=4), tiny(num_hidden_layers=4)
    for model, device in ((on_cpu, "cpu"), (on_gpu, "cuda")):
        compress(model, build_stage(method.name, Ratio(0.3), {}, CALIBRATION), windows(), device, silent)
    assert {p.device.type for p in on_gpu.parameters()} == {"cpu"}
    torch.testing.assert_close(on_gpu(windows()).logits, on_cpu(windows()).logits, atol=2e-2, rtol=2e-2)


def test_protected_units_are_at_most_half_of_the_kept_ones():
    score = torch.arange(100.0)
    assert keep_largest(score, 50, 10).tolist() == [*range(10), *range(60, 100)]
    assert keep_largest(score, 92, 10).tolist() == [*range(4), *range(96, 100)]
    assert keep_largest(torch.tensor([3.0, 0, 1, 2, 4]), 2).tolist() == [0, 3, 4]
    assert keep_largest(torch.tensor([3.0, 0, 1, 2, 4]), 2, spared=1).tolist() == [0, 1, 4]


def test_channels_compensate_for_the_limit_on_heads():
    model = tiny("llama-mha", num_hidden_layers=4)
    before = block_weights(model)
    shrunk(model, "slimllm", 0.4, layer_ratio="uniform")
    assert 1 - block_weights(model) / before == pytest.approx(0.4, abs=0.01)
    assert [block.self_attn.q_proj.out_features // 8 for block in model.model.layers] == [3] * 4  # 1.6 of 4 would go


@pytest.mark.parametrize(
    ("method", "ratio", "settings", "first", "last"),
    [
        (LLMPruner, 0.2, {}, 4, 2),
        (LLMPruner, 0.5, {}, 3, 1),
        (HyWIA, 0.5, {}, 3, 1),
        (LoRAPrune, 0.2, {}, 3, 1),
        (LoRAPrune, 0.5, {}, 3, 1),
        (LLMPruner, 0.2, {"whole_first": 0.0}, 0, 2),
        (LLMPruner, 0.2, {"whole_last": 0.5}, 4, 16),
    ],
)
def test_protected_blocks_of_the_papers_keep_their_size(method, ratio, settings, first, last):
    views = [SimpleNamespace(shape=SMOL)] * 32
    removals = KeepEndBlocks.allocate(method(method.parse_parameters(settings)), views, ratio)
    whole = [removal == Removal() for removal in removals]
    assert whole == [True] * first + [False] * (32 - first - last) + [True] * last
