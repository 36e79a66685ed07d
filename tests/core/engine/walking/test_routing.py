"""Calibration of experts: their own tokens, or all of the layer if the router sends them too few."""

import copy

import pytest
import torch
from torch.nn.functional import linear as product
from transformers import AutoConfig, AutoModelForCausalLM

from core.amount import Amount
from core.context import Context, StageInput
from core.engine.stages import apply
from core.engine.walking.walker import Walker
from core.models.parts.blocks import find_blocks
from core.models.parts.experts import experts_in, separate_experts
from core.request.stages import build_stage
from core.specs import TextWindows
from tests.core.engine.applied import compress
from tests.core.tiny import COMMON, tiny, windows
from tools.architectures.models import tiny_model

GRAM = frozenset({"gram", "mean"})
TOKENS = windows(8, 48)


def mixture(**changes):
    model = tiny("mixtral", **changes).requires_grad_(False)
    separate_experts(model)
    return model


def without_expert_3():
    """Return a mixture whose routers never choose one expert."""
    model = tiny_model("gpt_oss")
    for block in find_blocks(model).holder:
        block.mlp.router.bias[3] = -1e4
    return model


def collected(model, blocks=None, true_sequential=True, batch=1):
    """Return the statistics of each linear by name, as the walker passes them, without any compression."""
    found = {}
    blocks = find_blocks(model)
    walker = Walker(model, blocks, TOKENS, lambda role: GRAM, torch.device("cpu"), batch, true_sequential)
    linears = list(blocks.all_linears())
    walker.walk(linears, lambda one, statistics, sample: found.update({one.name: (statistics, sample)}))
    return found


def by_loop(model):
    """Return the inputs (tokens, in) of each expert's linears by name, from a loop over tokens and experts."""
    inputs = {}
    handles = []
    for name, module in model.named_modules():
        if type(module).__name__ == "Experts":

            def record(layer, args, name=name):
                hidden, chosen, _ = args
                for token, experts in zip(hidden, chosen, strict=True):
                    for number in experts.tolist():
                        expert = layer[number]
                        gate, up = (product(token, one.weight) for one in (expert.gate_proj, expert.up_proj))
                        inner = torch.nn.functional.silu(gate) * up
                        inputs.setdefault(f"{name}.{number}.gate_proj", []).append(token)
                        inputs.setdefault(f"{name}.{number}.down_proj", []).append(inner)

            handles.append(module.register_forward_pre_hook(record))
    model(TOKENS)
    for handle in handles:
        handle.remove()
    return {name: torch.stack(rows) for name, rows in inputs.items()}


@pytest.mark.parametrize("true_sequential", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_statistics_of_experts_equal_a_loop_over_tokens_and_experts(true_sequential, batch):
    model = mixture()
    inputs, found = by_loop(model), collected(model, true_sequential=true_sequential, batch=batch)
    own = {name: rows for name, rows in inputs.items() if found[name][0].routed is None}
    assert len(own) > len(inputs) / 2
    for name, rows in own.items():
        statistics, sample = found[name]
        assert statistics.tokens == len(rows) and 0 < len(sample) <= len(rows)
        assert torch.allclose(statistics.gram, rows.T @ rows, rtol=1e-4, atol=1e-4)
        assert torch.allclose(statistics.mean, rows.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("true_sequential", [True, False])
def test_an_expert_with_few_tokens_has_the_statistics_of_its_layer(true_sequential):
    model = without_expert_3()
    layer = experts_in(model)[0]
    hidden = []
    layer.register_forward_pre_hook(lambda module, args: hidden.append(args[0]))
    found = collected(model, true_sequential=true_sequential)
    few = {name for name, (statistics, _) in found.items() if statistics.routed is not None}
    assert any(".experts.3." in name for name in few) and len(few) < len(found)
    hidden.clear()
    model(TOKENS)
    rows = torch.cat(hidden)
    for name in few:
        statistics, _ = found[name]
        assert statistics.tokens == TOKENS.numel() and statistics.routed < 32
        if name.startswith("model.layers.0.") and name.endswith("gate_proj"):
            assert torch.allclose(statistics.gram, rows.T @ rows, rtol=1e-4, atol=1e-3)
    assert layer.unrouted == frozenset()


def test_the_note_names_experts_with_few_tokens():
    model = without_expert_3()
    stage = build_stage("wanda", Amount.from_columns(0.5, None), calibration=TextWindows.parse("c4-sample:8x48"))
    done = apply(model, StageInput(stage, TOKENS), Context(torch.device("cpu")))
    notes = {one.name: one.note for one in done.reports if one.note}
    assert all(note.startswith("calibrated on all tokens of its layer") for note in notes.values())
    assert f"experts: {len(notes) // 3}, such as" in done.note and "layers.0.mlp.experts.3" in "".join(notes)


@pytest.mark.parametrize("chain", [("wanda", 0.5), ("sparsegpt", 0.5), ("gptq", "4bit")])
def test_one_expert_with_one_choice_is_compressed_as_the_dense_mlp(chain):
    """Bit for bit: the expert gets all tokens, and its weight is 1.

    The activation reads rows of a wider tensor here. Columns that do not fill a CPU's vector may round otherwise.
    """
    method, amount = chain
    model = mixture(num_local_experts=1, num_experts_per_tok=1, intermediate_size=64)
    alike = {name: getattr(model.config, name) for name in ("intermediate_size", "rms_norm_eps", "rope_parameters")}
    config = AutoConfig.for_model("llama", **COMMON | alike)
    dense = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    state = {
        name.replace("mlp.experts.0.", "mlp."): tensor
        for name, tensor in model.state_dict().items()
        if "mlp.gate.weight" not in name
    }
    dense.load_state_dict(state)
    settings = {"group_size": 16} if method == "gptq" else {}
    amount = Amount.from_columns(None, amount) if isinstance(amount, str) else Amount.from_columns(amount, None)
    stage = build_stage(method, amount, settings=settings, calibration=TextWindows.parse("c4-sample:8x48"))
    for one in (model, dense):
        compress(one, copy.deepcopy(stage), TOKENS)
    for name, tensor in dense.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name.replace("mlp.", "mlp.experts.0.")]), name


def test_routers_stay_untouched():
    model = mixture()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "mlp.gate.weight" in name}
    stage = build_stage("sparsegpt", Amount.from_columns(0.5, None), calibration=TextWindows.parse("c4-sample:8x48"))
    compress(model, stage, TOKENS)
    assert before and all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
