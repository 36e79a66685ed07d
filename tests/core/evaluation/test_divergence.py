"""Log-probabilities and the divergence from the dense model equal those of whole logits, for each kind of head."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from core.base.errors import StorageError, UserError
from core.base.progress import silent
from core.cache import disk
from core.evaluation import states
from core.evaluation.dense_outputs import DenseOutputs
from core.evaluation.perplexity import dense_losses, perplexity, window_losses
from core.evaluation.states import OutputScale, check_logits, output_scale
from core.models.parts.blocks import body
from tests.core.tiny import tiny, windows
from tools.architectures.models import tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(states, "COLUMNS", 20)


def changed(model, scale=0.05):
    """Return a copy of a model with other weights."""
    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += scale * parameter.abs().mean() * torch.randn(parameter.shape, generator=draw)
    return other


def compared(dense, other, tokens, key="a" * 64):
    outputs = DenseOutputs(key, "float32", lambda: dense)
    (reading,) = perplexity(other, {"text": tokens}, silent, {"text": outputs.of(tokens, silent, "text")})
    return reading


def brute(dense, other, tokens, common=None):
    """Return KL divergence and agreement at each token, (N, L - 1), of the common logits in fp64."""
    with torch.no_grad():
        first, second = (model(input_ids=tokens).logits[:, :-1, :common].double() for model in (dense, other))
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1), first.argmax(-1) == second.argmax(-1)


def check(dense, other, tokens):
    reading, (kl, agrees) = compared(dense, other, tokens), brute(dense, other, tokens)
    assert torch.allclose(reading.divergences.double(), kl, atol=1e-5)
    assert list(reading.samples["kl"]) == pytest.approx(kl.mean(1).tolist(), abs=1e-5)
    assert list(reading.samples["agreement"]) == agrees.double().mean(1).tolist()
    assert kl.mean() > 1e-4 and not agrees.all()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["llama-gqa", "opt", "gpt2", "gemma2", "gemma3", "cohere", "granite"])
def test_divergence_equals_that_of_whole_logits(name, tied):
    dense = tiny(name, tie_word_embeddings=tied)
    check(dense, changed(dense, 0.5), windows(4, 20))


def test_a_bias_of_the_head_counts_and_a_variant_may_have_another_width():
    dense = tiny()
    dense.lm_head.bias = torch.nn.Parameter(torch.randn(97))
    for other in (changed(dense, 0.5), tiny(hidden_size=64, seed=1)):
        check(dense, other, windows(4, 20))


def test_another_vocabulary_is_refused():
    for size in (90, 117):
        with pytest.raises(UserError, match="vocabulary differs from the dense model's"):
            compared(tiny(), tiny(vocab_size=size), windows(4, 20) % 90)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("sizes", [(97, 90), (90, 97), (120, 97), (97, 40)])
def test_heads_with_other_last_rows_are_compared_on_common_tokens(sizes, tied):
    dense, other = (tiny(vocab_size=size, seed=size, tie_word_embeddings=tied) for size in sizes)
    tokens, common = windows(4, 20) % 40, min(sizes)
    outputs = DenseOutputs("e" * 64, "float32", lambda: dense).of(tokens, silent, "text")
    (reading,) = perplexity(other, {"text": tokens}, silent, {"text": replace(outputs, common=common)})
    kl, agrees = brute(dense, other, tokens, common)
    assert torch.allclose(reading.divergences.double(), kl, atol=1e-5)
    assert list(reading.samples["agreement"]) == agrees.double().mean(1).tolist()
    (alone,) = perplexity(other, {"text": tokens}, silent)
    assert list(reading.samples["perplexity"]) == list(alone.samples["perplexity"])  # over all of its own tokens


@pytest.mark.parametrize("name", ["llama-gqa", "gemma2"])
def test_losses_of_the_dense_model_follow_from_its_outputs(name):
    dense, tokens = tiny(name), windows(4, 20)
    text = DenseOutputs("f" * 64, "float32", lambda: dense).of(tokens, silent, "text")
    assert dense_losses(text, tokens, dense.device) == pytest.approx(window_losses(dense, tokens), abs=1e-6)


def test_windows_without_numbers_are_infinitely_far():
    dense, tokens = tiny(), windows(4, 20) % 96
    broken, tokens[2, 3] = copy.deepcopy(dense), 96
    with torch.no_grad():
        broken.get_input_embeddings().weight[96] = torch.nan
    reading = compared(dense, broken, tokens)
    assert reading.samples["kl"].tolist()[2] == torch.inf
    assert reading.samples["kl"].drop(2).lt(1e-5).all() and reading.samples["agreement"][2] < 0.2


def test_a_text_is_computed_once_and_again_where_its_file_is_damaged(tmp_path):
    dense, tokens, loads = tiny(), windows(4, 20), []

    def load():
        loads.append(1)
        return dense

    def states():
        return DenseOutputs("b" * 64, "float32", load).of(tokens, silent, "text").states.clone()

    first = states()
    assert torch.equal(states(), first) and len(loads) == 1
    (file,) = (tmp_path / "cache").rglob("states.bin")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert torch.equal(states(), first) and len(loads) == 2


def test_a_full_disk_is_named(monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.raises(StorageError, match=r"The comparison with .* needs 0\.\d MB of disk, but .* has only 0\.0 MB"):
        DenseOutputs("c" * 64, "float32", tiny).of(windows(4, 20), silent, "text")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_outputs_are_kept_in_the_precision_of_the_variant(dtype):
    dense, tokens = tiny().to(getattr(torch, dtype)), windows(4, 20)
    outputs = DenseOutputs("d" * 64, dtype, lambda: dense)
    text = outputs.of(tokens, silent, "text")
    assert text.states.dtype == text.head.weight.dtype == getattr(torch, dtype)
    (reading,) = perplexity(dense, {"text": tokens}, silent, {"text": text})
    assert reading.samples["kl"].max() < 1e-5


def no_scale(model):
    """The head of a model, but nothing after it."""
    return {"output_scale": lambda model: OutputScale()}


def multiplied(model):
    return {"output_scale": lambda model: OutputScale(1 / output_scale(model).factor)}


def no_bias(model):
    model.lm_head.bias.normal_(std=0.02)
    parts = list(states.head_parts(model))
    return {"head_parts": lambda model: ((weight, None) for weight, _ in parts)}


def no_embedding_scale(model):
    changed = copy.deepcopy(body(model))
    changed.embedding_multiplier = 1
    return {"body": lambda model: changed}


def no_norm_weight(model):
    body(model).norm.weight.normal_(1, 0.02)
    changed = copy.deepcopy(body(model))
    changed.norm.weight.fill_(1)
    return {"body": lambda model: changed}


# Each changes the logits by less than 5 %.
FAULTS = {
    "no soft cap": (lambda: tiny_model("recurrent_gemma"), no_scale),
    "no factor": (lambda: tiny("cohere", logit_scale=1.01), no_scale),
    "a factor instead of a divisor": (lambda: tiny("granite", logits_scaling=1.01), multiplied),
    "no bias of the head": (lambda: tiny_model("phi"), no_bias),
    "no factor of the embedding": (lambda: tiny("granite", embedding_multiplier=1.01), no_embedding_scale),
    "no weight of the last norm": (tiny, no_norm_weight),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_small_fault_in_the_logits_is_refused(fault, monkeypatch):
    build, break_it = FAULTS[fault]
    model, (tokens, *_) = build().requires_grad_(False), windows()
    check_logits(model, tokens)
    for name, broken in break_it(model).items():
        monkeypatch.setattr(states, name, broken)
    with pytest.raises(UserError):
        check_logits(model, tokens)


@pytest.mark.parametrize("architecture", ["recurrent_gemma", "falcon_h1"])
def test_losses_follow_what_a_model_does_with_its_logits(architecture):
    model, tokens = tiny_model(architecture), windows(3, 20)
    own = [model(input_ids=window[None], labels=window[None]).loss.item() for window in tokens]
    assert output_scale(model) != OutputScale()
    assert window_losses(model, tokens) == pytest.approx(own, rel=1e-5)


def test_rounding_to_16_bits_passes():
    """Gemma's own cap would round four times, but the check computes it in fp32."""
    (tokens, *_) = windows()
    for name in ("gemma2", "granite", "olmo2"):
        check_logits(tiny(name).bfloat16(), tokens)
    model = tiny("gemma2").bfloat16()
    model.register_forward_hook(lambda module, args, output: setattr(output, "logits", output.logits * 1.02))
    with pytest.raises(UserError):
        check_logits(model, tokens)
