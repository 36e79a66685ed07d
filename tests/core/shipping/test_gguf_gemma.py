"""GGUF files of a tiny Gemma 3, read by transformers' own reader and by llama.cpp."""

import pytest
import torch

from core.base.errors import UserError
from core.shipping import proof
from core.shipping.gguf.format import GGUF
from core.shipping.gguf.support import architecture_of, period
from core.shipping.gguf.tokenizer import of_pieces
from tests.core.shipping.exported import exported, made, pieces
from tests.core.shipping.test_gguf import CLOSE, ODD, fields, kinds_of
from tests.core.tiny import tiny

SMALL = {"vocab_size": 400, "hidden_size": 64}
S, F = "sliding_attention", "full_attention"


def gemma(chain, **changes):
    return made(chain, "gemma3-mqa", **(SMALL | changes))


@pytest.mark.parametrize("kinds", [[S, F, S, F], [S, S, S, S]])
def test_llama_cpp_gives_the_same_outputs(kinds, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "PROMPTS", ("It's 1984 again; we'll say so, they've said 12345 times.", *ODD))
    model, result = gemma("dense", layer_types=kinds)
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):  # that a shift left out is seen
            torch.nn.init.normal_(weight, std=0.3)
    shown = exported(model, result, pieces(), tmp_path / "out", "gguf", "F16")
    assert shown.reason is None and shown.same_tokens and shown.difference < CLOSE and shown.same_first == 5
    metadata = fields(tmp_path / "out")
    assert metadata["general.architecture"] == "gemma3" and metadata["gemma3.attention.head_count_kv"] == 1
    assert metadata["gemma3.attention.sliding_window"] == 8 and metadata["tokenizer.ggml.add_bos_token"]
    assert metadata.get("gemma3.attention.sliding_window_pattern") == (2 if F in kinds else None)


@pytest.mark.parametrize("chain", ["sparsegpt@0.5", "rtn@4bit,group_size=32"])
def test_zeros_and_codes_are_read(chain, tmp_path):
    model, result = gemma(chain)
    kind = GGUF().default(result.variant)
    shown = exported(model, result, pieces(), tmp_path / "out", "gguf", kind)
    assert shown.reason is None and shown.same_tokens and shown.difference < (CLOSE if kind == "F16" else 1.5)
    kinds = kinds_of(tmp_path / "out")
    assert kinds["blk.0.attn_q.weight"] == kind and kinds["blk.0.post_ffw_norm.weight"] == "F32"


def test_different_block_sizes_or_window_patterns_are_rejected(tmp_path):
    with pytest.raises(UserError, match="does not support a Gemma 3 with blocks of different sizes; export it as hugg"):
        exported(*gemma("flap@0.3"), pieces(), tmp_path / "out", "gguf", "F16")
    with pytest.raises(UserError, match="without a regular period of full-attention blocks"):
        exported(*gemma("dense", layer_types=[S, F, F, S]), pieces(), tmp_path / "out", "gguf", "F16")
    assert not list(tmp_path.iterdir())


def test_configurations_unlike_llama_cpp_are_rejected():
    plain = tiny("gemma3-mqa").config.to_dict()
    assert architecture_of(plain).label == "Gemma 3"
    for changed, message in (
        ({"query_pre_attn_scalar": 8}, "with query_pre_attn_scalar 8"),
        ({"hidden_activation": "silu"}, "with hidden_activation silu"),
        ({"final_logit_softcapping": 30.0}, "with final_logit_softcapping 30.0"),
        ({"rope_parameters": {F: {"rope_type": "linear"}, S: {"rope_type": "default"}}}, "RoPE type 'linear'"),
    ):
        with pytest.raises(UserError, match=f"{message}; export it as huggingface"):
            architecture_of(plain | changed)


def test_window_pattern_period_ends_at_the_last_full_block():
    assert period([S] * 5 + [F]) == 6 and period([S, S, F] * 3) == 3 and period([F] * 3) == 1 and period([S] * 18) == 19
    assert of_pieces({"model": {"type": "BPE", "byte_fallback": True}, "normalizer": None}) is False
