"""The block walker and the calibration of experts: on every architecture they agree with the model's own output."""

import pytest
import torch
from torch.nn.functional import linear as product
from transformers import AutoConfig, AutoModelForCausalLM

from core.amount import Amount
from core.base.errors import CancelledError, UserError
from core.context import Context, StageInput
from core.engine.stages import apply
from core.engine.walking import walker
from core.engine.walking.collector import Collector, add_gram
from core.engine.walking.walker import Walker
from core.models.parts.blocks import find_blocks, select
from core.models.parts.experts import experts_in, separate_experts
from core.models.parts.recorder import Recorder
from core.request.stages import build_stage
from tests.core.contract.ground import modules, same
from tests.core.engine.applied import CALIBRATION, compress, inputs_of
from tests.core.tiny import ARCHITECTURES, COMMON, layout_of, tiny, windows
from tools.architectures.models import tiny_model

CPU = torch.device("cpu")


def stage(method="sparsegpt", ratio=0.5, pattern=None, layers=None, **settings):
    return build_stage(
        method, Amount.from_columns(None if pattern else ratio, pattern), settings, CALIBRATION, layers=layers
    )


def walked(name, batch, limit, monkeypatch):
    model = tiny(name)
    monkeypatch.setattr(walker, "choose_walk_mode", lambda *_: (batch, limit))
    compress(model, stage(), windows())
    return model.state_dict()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blocks_run_one_by_one_give_the_model_s_output(name):
    model = tiny(name)
    Recorder(model, find_blocks(model), CPU).check(windows(1, 40))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_hidden_states_that_are_not_finite_or_all_zero_are_rejected(value):
    model = tiny()
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(value)
    with pytest.raises(UserError, match="contain NaN or infinity, or are all zero, in float32"):
        compress(model, stage("wanda"), windows())


@pytest.mark.matrix(name=layout_of, batch=str, limit=str)
@pytest.mark.parametrize(("batch", "limit"), [(3, None), (4, None), (1, 0), (1, 9000), (1, 10**9)])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_walking_forms_agree(name, batch, limit, monkeypatch):
    """Batches to rounding, and activations on disk bit for bit."""
    reference, found = (walked(name, *mode, monkeypatch) for mode in ((1, None), (batch, limit)))
    near = 2e-3 if batch > 1 else 0
    for key, theirs in reference.items():
        torch.testing.assert_close(found[key], theirs, atol=near, rtol=near, msg=key)


def grams_seen(model, change, **how):
    """Return the Gram matrix of each linear's inputs by name, from a walk that changes each weight."""
    seen, blocks = {}, find_blocks(model)

    def prune(linear, statistics, sample):
        seen[linear.name] = statistics.gram.clone()
        linear.set_weight(change(linear.weight))

    Walker(model, blocks, windows(), lambda role: "gram", CPU, **how).walk(list(blocks.all_linears()), prune)
    return seen


@pytest.mark.matrix(name=layout_of)
@pytest.mark.parametrize("name", ["llama-gqa", "opt", "gpt2", "gemma3"])
def test_every_linear_sees_the_compressed_ones_before_it(name):
    """Statistics equal those of each linear's inputs in the finished model."""
    model = tiny(name)
    seen = grams_seen(model, lambda weight: weight * (weight.abs() > 0.2))
    inputs = inputs_of(model, find_blocks(model).all_linears(), windows())
    assert set(seen) == set(inputs)
    for linear, rows in inputs.items():
        torch.testing.assert_close(seen[linear], rows.T @ rows, atol=1e-3, rtol=1e-3, msg=linear)


def test_paper_form_collects_statistics_on_the_dense_block():
    model = tiny()
    dense_inputs = inputs_of(model, find_blocks(model).linears(0), windows())
    seen = grams_seen(model, lambda weight: weight * 0.5, true_sequential=False)
    assert len(seen) == 14
    for linear, rows in dense_inputs.items():
        torch.testing.assert_close(seen[linear], rows.T @ rows, atol=1e-3, rtol=1e-3)


def test_gram_over_parts_equals_the_whole():
    rows = torch.randn(2, 30, 300)
    collector = Collector(frozenset({"gram"}), stride=7)
    for part in rows.split(1):
        collector.add(part)
    statistics, sample = collector.finish()
    flat = rows.flatten(0, 1)
    torch.testing.assert_close(statistics.gram, flat.T @ flat, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(statistics.sqnorm, flat.square().sum(0))
    torch.testing.assert_close(sample, flat[::7])
    upper = torch.zeros(300, 300)
    add_gram(upper, flat)
    torch.testing.assert_close(upper.triu(), (flat.T @ flat).triu(), atol=1e-3, rtol=1e-4)


def test_layer_selection_by_name_and_its_errors():
    linears = list(find_blocks(tiny()).all_linears())
    assert {linear.role for linear in select(linears, r"mlp\.", 2)} == {"gate", "up", "down"}
    for wrong in ("7:9", "nothing_like_this", "["):
        with pytest.raises(UserError, match="Layers"):
            select(linears, wrong, 2)


@pytest.mark.parametrize(
    ("method", "pattern", "last", "settings"),
    [("sparsegpt", None, 5, {}), ("autoround", "3bit", 5, {"group_size": 16}), ("tensor-train", "2x", 2, {})],
)
def test_cancellation_leaves_neither_hooks_nor_other_modules(method, pattern, last, settings):
    """Within the first block, between the iterations of a training, and in a factorisation."""
    model, calls = tiny(), []

    def stop(*update):
        calls.append(update)
        if len(calls) == last:
            raise CancelledError

    with pytest.raises(CancelledError):
        compress(model, stage(method, pattern=pattern, **settings), windows(), progress=stop)
    assert not any(module._forward_pre_hooks for module in model.modules()) and modules(model) == modules(tiny())
    assert method != "tensor-train" or same(model, tiny())


@pytest.mark.gpu
def test_a_device_has_only_one_block_in_memory():
    model = tiny(num_hidden_layers=24, hidden_size=256, intermediate_size=512)
    block = sum(one.numel() * one.element_size() for one in find_blocks(model).holder[0].parameters())
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    compress(model, stage(), windows(), "cuda")
    assert torch.cuda.max_memory_allocated() - before < 12 * block


@pytest.mark.gpu
@pytest.mark.parametrize("on_disk", [False, True])
def test_one_block_at_a_time_on_the_device(on_disk, monkeypatch):
    if on_disk:
        monkeypatch.setattr(walker, "choose_walk_mode", lambda *_: (1, 0))
    on_cpu, on_gpu = tiny(), tiny()
    compress(on_cpu, stage(), windows())
    compress(on_gpu, stage(), windows(), "cuda")
    for mine, theirs in zip(on_gpu.parameters(), on_cpu.parameters(), strict=True):
        assert mine.device.type == "cpu"
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=2e-3)


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


def collected(model, true_sequential=True, batch=1):
    """Return the statistics of each linear by name, as the walker passes them, without any compression."""
    found = {}
    blocks = find_blocks(model)
    walker = Walker(model, blocks, TOKENS, lambda role: GRAM, CPU, batch, true_sequential)
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
    done = apply(model, StageInput(stage("wanda"), TOKENS), Context(CPU))
    notes = {one.name: one.note for one in done.reports if one.note}
    assert all(note.startswith("calibrated on all tokens of its layer") for note in notes.values())
    assert f"experts: {len(notes) // 3}, such as" in done.note and "layers.0.mlp.experts.3" in "".join(notes)


@pytest.mark.parametrize(("method", "pattern"), [("wanda", None), ("sparsegpt", None), ("gptq", "4bit")])
def test_one_expert_with_one_choice_is_compressed_as_the_dense_mlp(method, pattern):
    """Bit for bit: the expert gets all tokens, and its weight is 1.

    The activation reads rows of a wider tensor here. Columns that do not fill a CPU's vector may round otherwise.
    """
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
    for one in (model, dense):
        compress(one, stage(method, pattern=pattern, **({"group_size": 16} if pattern else {})), TOKENS)
    for name, tensor in dense.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name.replace("mlp.", "mlp.experts.0.")]), name


def test_routers_stay_untouched():
    model = mixture()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "mlp.gate.weight" in name}
    compress(model, stage(), TOKENS)
    assert before and all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
