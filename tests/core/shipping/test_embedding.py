"""Embeddings in factors on their way to other programs, at the end of chains and in the middle of them."""

import pytest
import torch

from core.base.errors import UserError
from core.models.modeling_slimscope import LowRankEmbedding
from core.shipping.gguf.format import GGUF
from tests.core.shipping.exported import bpe, exported, made, source_of

CHAIN = "slimllm@0.2+tensor-train@2x+gptq@4bit,group_size=0"


@pytest.mark.matrix(chain=None)
@pytest.mark.parametrize("chain", ["embedding-lowrank@2x", CHAIN, "rotate+tensor-train@2x,head=explicit"])
def test_plain_transformers_reads_the_checkpoint(chain, tmp_path):
    model, result = made(chain, tie_word_embeddings=True)
    shown = exported(model, result, bpe(), tmp_path / "out", "huggingface", "fp32")
    assert shown.reason is None and shown.same_tokens and shown.difference < 1e-4
    card = (tmp_path / "out" / "README.md").read_text()
    assert "trust_remote_code" in card and "of the embedding" in card


@pytest.mark.full
def test_linears_are_packed_while_factors_are_not(tmp_path):
    model, result = made("embedding-lowrank@2x+rtn@4bit,group_size=32", tie_word_embeddings=True)
    assert isinstance(model.get_input_embeddings(), LowRankEmbedding)
    shown = exported(model, result, bpe(), tmp_path / "out", "compressed-tensors", "fp32")
    assert shown.reason is None and shown.difference < 1e-3
    weights = torch.tensor([file.stat().st_size for file in (tmp_path / "out").glob("*.safetensors")]).sum()
    assert weights < 2 * result.footprint.model_parameters


def test_gguf_rejects_factors():
    for chain, label in ((CHAIN, "Tensor train"), ("embedding-lowrank@2x", "Low-rank embedding")):
        with pytest.raises(UserError, match=f"does not support the embedding factors of {label}"):
            model, result = made(chain)
            GGUF().check(result.variant, source_of(model))
