"""Recovery: losses in chunks, what survives a training, and a training that is cancelled, killed or no use."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

from core.compress import compress
from core.data.instructions import PROMPT, PROMPT_WITH_INPUT, read_pairs
from core.errors import Cancelled, UserError
from core.methods.registry import RECOVERIES, get_recovery
from core.models.blocks import find_blocks
from core.models.modeling_slimscope import Factors
from core.progress import silent
from core.recovery import examples as examples_module
from core.recovery import losses, training
from core.recovery.adapters import add_adapters, merge_adapters
from core.recovery.answers import answers
from core.recovery.examples import Batch, Example, Examples, collate, read_examples
from core.recovery.losses import block_outputs, divergence, next_token, states, targets, through_head
from core.recovery.training import Budget, train
from core.requests import build_stage, parse_parameters
from core.specs import Calibration
from tests.core.tiny import tiny, windows

CALIBRATION = Calibration(corpus="any", windows=4, window=24)
SETTINGS = {"rank": 4, "batch": 4, "learning_rate": 0.01, "dropout": 0.0}


def patterned(count=24, length=24):
    """Windows in which each token follows from the one before it, so that there is something to learn."""
    starts = torch.arange(count)[:, None] * 3
    return (starts + 5 * torch.arange(length)) % 97


def examples(held_out=4, batch=4):
    return Examples([Example(row) for row in patterned()], batch, held_out, seed=0)


def cut(model, method, ratio=0.5, pattern=None):
    compress(
        model, build_stage(method, ratio if not pattern else None, pattern, {}, CALIBRATION), windows(), "cpu", silent
    )
    return model


def trained(model, recovery="lora", steps=20, patience=0, progress=silent, checkpoint=None, **settings):
    found = get_recovery(recovery)
    method = found(parse_parameters(found, SETTINGS | settings))
    teacher = tiny()
    parameters = add_adapters(model, SETTINGS["rank"], 16.0, method.parameters.dropout, 0)

    def loss(batch):
        return method.loss(model, teacher, batch)

    done = train(model, parameters, loss, examples(), Budget(steps), 0.01, patience, progress, checkpoint)
    merge_adapters(model)
    return done


@pytest.mark.parametrize("name", ["llama-gqa", "opt", "gemma2"])
def test_the_loss_through_the_head_in_chunks_is_the_models_own(name, monkeypatch):
    monkeypatch.setattr(losses, "CHUNK_BYTES", 4 * 97 * 7)  # seven rows at a time
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


def test_divergences_are_what_their_names_say():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 11, generator=draw, dtype=torch.float64) for _ in range(2))
    p, q = (log_softmax(logits / 2, -1).exp() for logits in (teacher, student))
    forward = 4 * (p * (p / q).log()).sum()
    reverse = 4 * (q * (q / p).log()).sum()
    middle = (p + q) / 2
    both = 2 * ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum())
    torch.testing.assert_close(divergence("forward", student, teacher, 2.0), forward)
    torch.testing.assert_close(divergence("reverse", student, teacher, 2.0), reverse)
    torch.testing.assert_close(divergence("jensen-shannon", student, teacher, 2.0), both)
    torch.testing.assert_close(
        divergence("jensen-shannon", student, teacher, 2.0), divergence("jensen-shannon", teacher, student, 2.0)
    )
    for kind in ("forward", "reverse", "jensen-shannon"):
        assert divergence(kind, student, student, 2.0).abs() < 1e-12


@pytest.mark.parametrize("recovery", [found.name for found in RECOVERIES])
@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
@pytest.mark.parametrize(("method", "pattern"), [("sparsegpt", None), ("wanda", "2:4")])
def test_zeros_survive_and_the_rest_learns(recovery, name, method, pattern):
    model = cut(tiny(name), method, pattern=pattern)
    before = {linear.name: linear.weight.clone() for linear in find_blocks(model).all_linears()}
    done = trained(model, recovery)
    for linear in find_blocks(model).all_linears():
        assert torch.equal(linear.weight == 0, before[linear.name] == 0)
        assert not torch.equal(linear.weight, before[linear.name])
    if recovery == "lora":
        assert min(loss for _, loss in done.held_out) < done.held_out[0][1]


@pytest.mark.parametrize("recovery", [found.name for found in RECOVERIES])
def test_factors_survive_and_learn(recovery):
    model = cut(tiny(), "svd-llm", 0.3)
    shapes = {name: p.shape for name, p in model.named_parameters()}
    before = {name: p.clone() for name, p in model.named_parameters()}
    trained(model, recovery)
    assert {name: p.shape for name, p in model.named_parameters()} == shapes
    assert sum(isinstance(module, Factors) for module in model.modules()) == 14
    thin = "model.layers.0.mlp.up_proj.0.weight"
    assert not torch.equal(before[thin], dict(model.named_parameters())[thin])


def test_what_is_merged_computes_what_was_trained():
    model = cut(tiny(), "sparsegpt")
    parameters = add_adapters(model, 4, 16.0, 0.0, 0)
    for parameter in parameters:
        torch.nn.init.normal_(parameter, std=0.2)
    expected = model(windows()).logits
    merge_adapters(model)
    torch.testing.assert_close(model(windows()).logits, expected, rtol=1e-4, atol=1e-4)
    assert not any(p.requires_grad for p in model.parameters())


def test_the_best_weights_are_kept_and_no_improvement_ends_it(monkeypatch):
    losses_told = iter([3.0, 2.0, 5.0, 4.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(training, "held_out_loss", lambda *_: next(losses_told))
    seen = []
    monkeypatch.setattr(
        training, "weights_of", lambda parameters: seen.append([p.detach().clone() for p in parameters]) or seen[-1]
    )
    model = tiny()
    parameters = add_adapters(model, 2, 4.0, 0.0, 0)

    def loss(batch):
        return through_head(model, states(model, batch), next_token(targets(batch)))

    done = train(model, parameters, loss, examples(), Budget(20), 0.01, 3, silent)
    assert (done.ended, done.best_step, done.steps) == ("no improvement", 2, 8)
    assert done.held_out == [[0, 3.0], [2, 2.0], [4, 5.0], [6, 4.0], [8, 6.0]]
    assert len(seen) == 2
    assert all(torch.equal(p, best) for p, best in zip(parameters, seen[1], strict=True))


def test_a_cancelled_training_keeps_its_best_and_says_so():
    def stop(stage, done, total, detail=""):
        if "step 12," in detail:
            raise Cancelled

    model, whole = tiny(), tiny()
    done = trained(model, progress=stop)
    assert (done.ended, done.steps) == ("cancelled", 12) and done.seconds > 0
    assert done.best_step == min(done.held_out, key=lambda pair: pair[1])[0]
    trained(whole, steps=20)
    assert not torch.equal(model(windows()).logits, whole(windows()).logits)


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    file = tmp_path / "training" / "state"

    class Killed(BaseException):
        pass

    def kill(stage, done, total, detail=""):
        if "step 13," in detail:
            raise Killed

    with pytest.raises(Killed):
        trained(tiny(), progress=kill, checkpoint=file, dropout=0.1)
    assert file.is_file()
    steps = []
    resumed, whole = tiny(), tiny()
    done = trained(resumed, progress=lambda *call: steps.append(call[3]), checkpoint=file, dropout=0.1)
    assert steps[0].startswith("step 12,")  # its state was written
    assert not file.exists()
    expected = trained(whole, dropout=0.1)
    assert (done.steps, done.held_out, done.losses) == (expected.steps, expected.held_out, expected.losses)
    torch.testing.assert_close(resumed(windows()).logits, whole(windows()).logits, rtol=0, atol=0)


def test_a_damaged_checkpoint_starts_anew(tmp_path):
    file = tmp_path / "state"
    file.write_bytes(b"no state")
    done, expected = trained(tiny(), checkpoint=file), trained(tiny())
    assert (done.steps, done.held_out) == (20, expected.held_out)


def test_minutes_end_a_training(monkeypatch):
    clock = iter(range(0, 10_000, 5))  # five seconds between two looks at it
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(clock))
    model = tiny()
    parameters = add_adapters(model, 2, 4.0, 0.0, 0)

    def loss(batch):
        return through_head(model, states(model, batch), next_token(targets(batch)))

    done = train(model, parameters, loss, examples(), Budget(10_000, minutes=5), 0.01, 0, silent)
    assert done.ended == "budget"
    assert 0 < done.steps < 60


def rates(budget, seconds):
    """The factors of the learning rate in a training whose every step takes so many seconds."""
    found = []
    while (spent := budget.spent(len(found), seconds * len(found))) < 1:
        found.append(training._schedule(spent, budget.spent(len(found) + 1, seconds * len(found)), len(found)))
    return found


def test_the_learning_rate_rises_to_its_highest_and_falls_to_nothing_however_the_budget_ends():
    for budget, steps in ((Budget(2000), 2000), (Budget(10_000, minutes=5), 300), (Budget(10_000, minutes=0.15), 9)):
        factors = rates(budget, 1.0)
        assert len(factors) == steps
        assert 0.95 < max(factors) <= 1 and factors[-1] < 0.15
        peak = factors.index(max(factors))
        assert peak <= 100 and factors[:peak] == sorted(factors[:peak])
        assert factors[peak:] == sorted(factors[peak:], reverse=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["sparsegpt", "svd-llm"])
def test_sixteen_bit_models_learn_in_whole_precision(dtype, method):
    model = cut(tiny(), method, 0.3).to(dtype)
    before = {linear.name: linear.weight.clone() for linear in find_blocks(model).all_linears()}
    done = trained(model)
    assert done.held_out[-1][1] < done.held_out[0][1] - 0.1
    for linear in find_blocks(model).all_linears():
        assert linear.weight.dtype == dtype and not torch.equal(linear.weight, before[linear.name])
        if method == "sparsegpt":
            assert torch.equal(linear.weight == 0, before[linear.name] == 0)


def test_dropout_falls_on_the_adapter_and_not_on_the_weight_itself():
    model = cut(tiny(), "sparsegpt")
    expected = model(windows()).logits
    parameters = add_adapters(model, 4, 16.0, 0.5, 0)
    model.train()
    torch.testing.assert_close(model(windows()).logits, expected)  # the adapters are 0 yet
    for parameter in parameters:
        torch.nn.init.normal_(parameter, std=0.2)
    assert not torch.equal(model(windows()).logits, model(windows()).logits)
    model.eval()
    assert torch.equal(model(windows()).logits, model(windows()).logits)


def test_every_example_comes_once_an_epoch_and_held_out_ones_never():
    data = Examples([Example(torch.full((2 + i % 5,), i)) for i in range(23)], batch=4, held_out=3, seed=1)
    held = {int(batch.ids[0, 0]) for batch in data.held_out}
    orders = []
    for epoch in range(2):
        batches = [data.batch(epoch * data.steps_an_epoch + step) for step in range(data.steps_an_epoch)]
        firsts = [int(row[0]) for batch in batches for row in batch.ids]
        assert sorted(firsts) == sorted(set(range(23)) - held)
        orders.append(firsts)
    assert orders[0] != orders[1]
    again = Examples([Example(torch.full((2 + i % 5,), i)) for i in range(23)], batch=4, held_out=3, seed=1)
    assert torch.equal(again.batch(7).ids, data.batch(7).ids)


def test_padding_counts_nothing():
    batch = collate([Example(torch.tensor([5, 6, 7, 8]), 2), Example(torch.tensor([9, 9]))])
    assert batch.ids.tolist() == [[5, 6, 7, 8], [9, 9, 0, 0]]
    assert batch.counts.tolist() == [[False, True, True], [True, False, False]]
    assert [part.ids.shape for part in Batch(batch.ids, batch.counts).split(4)] == [(1, 4), (1, 4)]


def test_instructions_are_read_with_and_without_input_and_from_prompts():
    rows = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"prompt": "Q", "response": "A"},
    ]
    expected = [
        (PROMPT_WITH_INPUT.format(instruction="Add.", input="1 2"), "3"),
        (PROMPT.format(instruction="Hi"), "Hello"),
        ("Q", "A"),
    ]
    assert read_pairs(json.dumps(rows), "x") == expected
    assert read_pairs("\n".join(json.dumps(row) for row in rows), "x") == expected
    with pytest.raises(UserError, match="Row 2 of x is no instruction"):
        read_pairs('[{"prompt": "Q", "response": "A"}, {"text": "T"}]', "x")
    with pytest.raises(UserError, match="neither a JSON list nor JSON lines"):
        read_pairs("{", "x")


def test_examples_of_instructions_learn_the_answer_and_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))

    class Tokenizer:
        eos_token_id = 1

        def __call__(self, text):
            return {"input_ids": [2 + ord(letter) % 90 for letter in text]}

    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": "ask" * n, "response": "yes"}) for n in (1, 2, 9)))
    found = read_examples(Calibration(corpus=str(file), windows=2, window=8), Tokenizer(), 0)
    assert sorted((len(example.ids), example.prompt) for example in found) == [(7, 3), (8, 6)]
    assert next(example for example in found if example.prompt == 3).ids[-1] == 1
    with pytest.raises(UserError, match="it has 2 instructions whose prompts fit 8 tokens, not 3"):
        read_examples(Calibration(corpus=str(file), windows=3, window=8), Tokenizer(), 0)


class Vocabulary:
    def __init__(self, words):
        self.words = words

    def get_vocab(self):
        return {word: index for index, word in enumerate(self.words)}


def test_a_teacher_with_another_tokenizer_is_refused(monkeypatch):
    monkeypatch.setattr(examples_module, "read_examples", lambda *_: [])
    found = get_recovery("distill-white")
    teacher = SimpleNamespace(source=SimpleNamespace(id="big"), tokenizer=Vocabulary(["a", "b"]))
    method = found(parse_parameters(found, {"teacher": "big@1"}))
    method.check_text(CALIBRATION, Vocabulary(["a", "b"]), teacher)
    with pytest.raises(UserError, match="The teacher big has another tokenizer"):
        method.check_text(CALIBRATION, Vocabulary(["a", "c"]), teacher)


def test_hidden_states_are_compared_block_by_block_where_that_can_be():
    found = get_recovery("distill-white")
    plain, hidden = (found(parse_parameters(found, {"hidden_weight": weight})) for weight in (0, 2))
    student, teacher, batch = tiny(seed=1), tiny(), collate([Example(row) for row in patterned(3, 10)])
    ours, theirs = (
        model(input_ids=batch.ids, output_hidden_states=True).hidden_states[1:-1] for model in (student, teacher)
    )
    first = [(a - b)[:, :-1].square().sum(-1) / b[:, :-1].square().sum(-1) for a, b in zip(ours, theirs, strict=True)]
    gap = (hidden.loss(student, teacher, batch) - plain.loss(student, teacher, batch)).item()
    with block_outputs(student) as own, block_outputs(teacher) as wanted:
        student(batch.ids), teacher(batch.ids)
    last = ((own[1] - wanted[1])[:, :-1].square().sum(-1) / wanted[1][:, :-1].square().sum(-1)).sum()
    assert gap == pytest.approx(2 * (first[0].sum() + last).item() / 2, rel=1e-3)
    other = SimpleNamespace(model=tiny(num_hidden_layers=3))
    with pytest.raises(UserError, match="the student has 2 blocks of width 32 and the teacher 3 of 32"):
        hidden.check(student, other)


class Letters:
    """A tokenizer of the letters a to z, for a model of 97 tokens."""

    pad_token_id, eos_token_id = 0, 96

    def __call__(self, text):
        return {"input_ids": [ord(letter) - ord("a") + 1 for letter in text]}

    def decode(self, ids, skip_special_tokens=False):
        return "".join(chr(ord("a") + int(i) - 1) if int(i) < 27 else "z" for i in ids if int(i))


def test_a_teacher_s_answers_are_its_own_and_kept(tmp_path):
    model, file, calls = tiny(), tmp_path / "answers.jsonl", []
    teacher = SimpleNamespace(model=model, tokenizer=Letters())
    prompts = ["hello", "a", "wonder"]

    def ask(wanted):
        return answers(teacher, wanted, 5, 0.0, 0, file, lambda *call: calls.append(call))

    told = ask(prompts)
    assert [prompt for prompt, _ in told] == prompts
    for prompt, answer in told:  # as if it had been asked alone, without padding
        ids = torch.tensor([Letters()(prompt)["input_ids"]])
        alone = model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=0)
        assert answer == Letters().decode(alone[0, ids.shape[1] :])
    file.write_text(file.read_text() + '["cut o')
    calls.clear()
    assert ask(prompts) == told
    assert not calls
    assert len(ask([*prompts, "new"])) == 4
    assert len(calls) == 1
    del teacher.model  # what is kept needs no teacher
    assert ask(prompts) == told


def test_drawn_answers_do_not_depend_on_what_was_answered_before(tmp_path):
    teacher = SimpleNamespace(model=tiny(), tokenizer=Letters())

    def ask(prompts, name):
        return dict(answers(teacher, prompts, 5, 1.0, 0, tmp_path / name, silent))

    alone = ask(["new", "other"], "a")
    assert len(alone) == 2 and ask(["other", "new"], "b") == alone
    ask(["hello"], "c")
    assert ask(["hello", "new", "other"], "c").items() >= alone.items()
