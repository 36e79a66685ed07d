"""Recovery: losses in chunks, and the constraints that a training preserves."""

from types import SimpleNamespace

import pytest
import torch
from peft.tuners.lora import Linear as LoraLinear
from torch.nn.functional import cross_entropy, log_softmax

from core.amount import Amount
from core.base.errors import UserError
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import grid_of
from core.registry import get_stage
from core.request.stages import build_stage
from core.training import examples as examples_module
from core.training import losses as losses_module
from core.training.adapters import NAME, SparseLora, adapters_of, add_adapters, merge_adapters
from core.training.examples import Example, collate
from core.training.losses import block_outputs, divergence, next_token, states, targets, text_loss, through_head
from tests.core.engine.applied import CALIBRATION, compress
from tests.core.tiny import layout_of, tiny, windows
from tests.core.training.trained import cut, data_of, patterned, trained


@pytest.mark.matrix(name=lambda name: name == "gemma2")
@pytest.mark.parametrize("name", ["llama-gqa", "opt", "gemma2"])
def test_chunked_loss_equals_the_loss_of_the_model(name, monkeypatch):
    monkeypatch.setattr(losses_module, "CHUNK_BYTES", 4 * 97 * 7)  # seven rows at a time
    model = tiny(name).requires_grad_(False)
    batch = collate([Example(row, 5) for row in patterned(3, 20)])
    parameters = add_adapters(model, 2, 4.0, 0.0, 0)
    for parameter in parameters:
        torch.nn.init.normal_(parameter, std=0.1)

    def gradients(value):
        value.backward()
        found = [parameter.grad.clone() for parameter in parameters]
        model.zero_grad()
        return found

    ours = through_head(model, states(model, batch), next_token(targets(batch)))
    logits = model(input_ids=batch.ids).logits[:, :-1].float()
    wanted = batch.ids[:, 1:].masked_fill(~batch.counts, -100)
    plain = cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)
    assert int(batch.counts.sum()) == 3 * 15  # of 20 tokens, the 15 after a prompt of 5
    for mine, theirs in zip(gradients(ours), gradients(plain), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_divergences_match_their_names():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 11, generator=draw, dtype=torch.float64) for _ in range(2))
    p, q = (log_softmax(logits / 2, -1).exp() for logits in (teacher, student))
    middle = (p + q) / 2
    for kind, expected in (
        ("forward", 4 * (p * (p / q).log()).sum()),
        ("reverse", 4 * (q * (q / p).log()).sum()),
        ("jensen-shannon", 2 * ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum())),
    ):
        torch.testing.assert_close(divergence(kind, student, teacher, 2.0), expected)
        assert divergence(kind, student, student, 2.0).abs() < 1e-12


@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize(("dtype", "dropout"), [("float32", 0.0), ("float32", 0.3), ("bfloat16", 0.0)])
def test_an_adapter_matches_peft_s(name, dtype, dropout):
    model = tiny(name).to(getattr(torch, dtype))
    for parameter in add_adapters(model, 4, 16.0, dropout, 0):
        torch.nn.init.normal_(parameter, std=0.2)
    tolerance = 1e-5 if dtype == "float32" else 1e-2  # of a norm
    for layer in adapters_of(model.train()).values():
        a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
        x = torch.randn(3, 5, a.shape[1], dtype=getattr(torch, dtype), requires_grad=True)
        found = []
        for forward in (SparseLora.forward, LoraLinear.forward):
            torch.manual_seed(0)
            y = forward(layer, x)
            found.append([y, *torch.autograd.grad(y.float().square().sum(), [x, a, b])])
        for ours, theirs in zip(*found, strict=True):
            assert ours.dtype == theirs.dtype
            assert (ours - theirs).norm() < tolerance * theirs.norm()


@pytest.mark.parametrize("quantised", [False, True])
def test_the_merged_model_equals_the_trained_one(quantised):
    model = tiny() if quantised else cut(tiny(), "sparsegpt")
    if quantised:
        compress(model, build_stage("rtn", Amount.parse("3bit"), {"group_size": 0}), None)
    for parameter in add_adapters(model, 4, 16.0, 0.0, 0):
        torch.nn.init.normal_(parameter, std=0.2)
    expected = model(windows()).logits
    merge_adapters(model)
    torch.testing.assert_close(model(windows()).logits, expected, rtol=1e-4, atol=1e-4)
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.matrix(name=layout_of, settings=len)
@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize("settings", [{}, {"symmetric": False}])
def test_quantised_weights_change_and_stay_on_their_grid(name, settings):
    model = cut(tiny(name), "sparsegpt")
    linears = list(find_blocks(model).all_linears())
    zeros = {linear.name: linear.weight == 0 for linear in linears}
    compress(model, build_stage("rtn", Amount.parse("3bit"), {"group_size": 0, **settings}), None)
    before = {linear.name: (linear.weight.clone(), grid_of(linear.module)) for linear in linears}
    done = trained(model)
    assert min(loss for _, loss in done.held_out) < done.held_out[0][1] - 0.1
    for linear in find_blocks(model).all_linears():
        weight, grid = before[linear.name]
        assert torch.equal(grid_of(linear.module).scale, grid.scale) and torch.equal(
            grid.nearest(linear.weight), linear.weight
        )
        assert not torch.equal(linear.weight, weight) and not linear.weight[zeros[linear.name]].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["sparsegpt", "svd-llm"])
def test_sixteen_bit_models_train_in_full_precision(dtype, method):
    model = cut(tiny(), method, 0.3).to(dtype)
    before = {linear.name: linear.weight.clone() for linear in find_blocks(model).all_linears()}
    done = trained(model, steps=8)
    assert done.held_out[-1][1] < done.held_out[0][1] - 0.1
    for linear in find_blocks(model).all_linears():
        assert linear.weight.dtype == dtype and not torch.equal(linear.weight, before[linear.name])
        if method == "sparsegpt":
            assert torch.equal(linear.weight == 0, before[linear.name] == 0)


def test_a_teacher_with_another_tokenizer_is_rejected(monkeypatch):
    monkeypatch.setattr(examples_module, "read_examples", lambda *_: [])
    own, other = (SimpleNamespace(get_vocab=lambda words=words: {word: 1 for word in words}) for words in ("ab", "ac"))
    found = get_stage("distill-white")
    teacher = SimpleNamespace(source=SimpleNamespace(id="big"), tokenizer=own, max_window=24)
    method = found(found.parse_parameters({"teacher": "big@1"}))
    method.check_text(data_of(CALIBRATION), own, teacher)
    with pytest.raises(UserError, match="The teacher big has another tokenizer"):
        method.check_text(data_of(CALIBRATION), other, teacher)


def test_a_teacher_with_a_shorter_window_is_rejected(monkeypatch):
    monkeypatch.setattr(examples_module, "read_prompts", lambda *_: ["abc", "abcde"])

    def tokenizer(text):
        return {"input_ids": list(text)}

    teacher = SimpleNamespace(source=SimpleNamespace(id="old"), tokenizer=tokenizer, max_window=23)
    white, black = get_stage("distill-white"), get_stage("distill-black")
    with pytest.raises(UserError, match="Examples of 24 tokens exceed the 23 tokens of the teacher old"):
        white(white.parse_parameters({})).check_text(data_of(CALIBRATION), tokenizer, teacher)
    black(black.parse_parameters({"answer_tokens": 18})).check_text(data_of(CALIBRATION), tokenizer, teacher)
    with pytest.raises(UserError, match="Prompts of up to 5 tokens and answers of 19 exceed the 23 tokens of the"):
        black(black.parse_parameters({"answer_tokens": 19})).check_text(data_of(CALIBRATION), tokenizer, teacher)


def test_the_teacher_and_the_text_share_the_loss():
    found = get_stage("distill-white")
    student, teacher, batch = tiny(seed=1), tiny(), collate([Example(row) for row in patterned(3, 10)])

    def loss(**settings):
        return found(found.parse_parameters(settings)).loss(student, SimpleNamespace(model=teacher), batch)

    text = text_loss(student, batch)
    logits = [model(batch.ids).logits[:, :-1][batch.counts] for model in (student, teacher)]
    taught = divergence("forward", *logits, 2.0)
    torch.testing.assert_close(loss(teacher_share=0), text)
    torch.testing.assert_close(loss(teacher_share=1, temperature=2), taught)
    torch.testing.assert_close(loss(temperature=2), (text + taught) / 2)


def test_hidden_states_are_compared_block_by_block_if_possible():
    found = get_stage("distill-white")
    plain, hidden = (found(found.parse_parameters({"hidden_weight": weight})) for weight in (0, 2))
    student, teacher, batch = tiny(seed=1), tiny(), collate([Example(row) for row in patterned(3, 10)])
    gap = 0.0
    with block_outputs(student) as own, block_outputs(teacher) as wanted:
        student(batch.ids), teacher(batch.ids)
    for ours, theirs in zip(own, wanted, strict=True):
        gap += ((ours - theirs)[:, :-1].square().sum(-1) / theirs[:, :-1].square().sum(-1)).sum().item()
    first = student(input_ids=batch.ids, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(own[0], first)
    losses = [method.loss(student, SimpleNamespace(model=teacher), batch).item() for method in (hidden, plain)]
    assert losses[0] - losses[1] == pytest.approx(2 * gap / 2, rel=1e-3)
    other = SimpleNamespace(model=tiny(num_hidden_layers=3))
    with pytest.raises(UserError, match="The student has 2 blocks of width 32, but the teacher has 3 of 32"):
        hidden.check(student, other)
