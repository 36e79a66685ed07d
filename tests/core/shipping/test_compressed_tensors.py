"""Quantised linears and factored embeddings in exports: the words of compressed-tensors, and what others load."""

import copy
import json

import pytest
import torch
from compressed_tensors.compressors import pack_to_int32, unpack_from_int32
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.base.errors import UserError
from core.methods.find import find_grid
from core.methods.quantised.rtn import RTN
from core.models.modeling_slimscope import LowRankEmbedding
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import grid_of, set_grid
from core.shipping.compressed_tensors import CompressedTensors, described, grids_of, packed
from core.shipping.gguf.format import GGUF
from tests.core.factories import make
from tests.core.shipping.exported import LLAMA, bpe, exported, made, source_of
from tests.core.tiny import tiny


@given(
    bits=st.sampled_from(RTN.bit_choices), rows=st.integers(1, 5), inputs=st.integers(1, 100), seed=st.integers(0, 1000)
)
def test_packed_words_match_the_package_bit_by_bit(bits, rows, inputs, seed):
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (rows, inputs), generator=draw).to(torch.int8)
    words = packed(codes.to(torch.int16), bits)
    assert words.dtype == torch.int32 and torch.equal(words, pack_to_int32(codes, bits))
    assert torch.equal(unpack_from_int32(words, bits, codes.shape), codes)


def test_a_variant_is_loaded_exactly_with_its_zeros(tmp_path):
    model, result = made("magnitude@0.5+rtn@4bit,group_size=32")
    before = copy.deepcopy(model.state_dict())
    shown = exported(model, result, bpe(), tmp_path / "out", "compressed-tensors", "fp32")
    assert shown.reason is None and shown.same_tokens and shown.difference < 1e-3
    assert set(shown.versions) == {"transformers", "compressed-tensors"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    loaded(torch.arange(4)[None])  # packed until then
    read = loaded.state_dict()
    for name in (name for name, _ in find_blocks(model).holder.named_parameters() if name.endswith("proj.weight")):
        assert torch.equal(read[f"model.layers.{name}"], before[f"model.layers.{name}"])
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert (stored["model.layers.0.mlp.up_proj.weight_scale"] < 0).any()  # a signed scale leaves as it is
    assert stored["model.layers.0.mlp.up_proj.weight_packed"].shape == (96, 64 * 4 // 32)
    assert CompressedTensors().default(result.variant) == "bfloat16"  # servers refuse packed codes beside fp32
    assert CompressedTensors().size(result.variant, source_of(model), result.counted, "float32") == pytest.approx(
        sum(tensor.numel() * tensor.element_size() for name, tensor in stored.items() if "shape" not in name), rel=0.01
    )


def test_different_bits_and_group_sizes_get_their_own_groups(tmp_path):
    model = tiny("llama-gqa", **LLAMA)
    linears = [one for one in find_blocks(model).all_linears() if one.role != "k"]
    for place, linear in enumerate(linears):
        grid = find_grid(linear.weight, (2, 3, 4, 8)[place % 4], (16, 32)[place % 2])
        linear.set_weight(grid.nearest(linear.weight))
        set_grid(linear.module, grid)
    config = described(model, grids_of(model))
    assert len(config["config_groups"]) == 4
    assert config["ignore"] == [*(f"model.layers.{i}.self_attn.k_proj" for i in range(3)), "lm_head"]
    ids = torch.arange(20)[None]
    ours = model(ids).logits
    CompressedTensors().write(model, bpe(), make().variant, tmp_path, "float32", lambda *_: None)
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, ours)
    assert json.loads((tmp_path / "config.json").read_text())["quantization_config"]["ignore"] == config["ignore"]


@pytest.mark.full
def test_blocks_of_different_shapes_export_their_code(tmp_path):
    model, result = made("neuron-magnitude@0.3+rtn@4bit,group_size=0")
    shown = exported(model, result, bpe(), tmp_path / "out", "compressed-tensors", "fp32")
    assert shown.reason is None and shown.difference < 1e-3


def test_a_quantised_embedding_is_written_unpacked(tmp_path):
    model, result = made("rtn@4bit,group_size=32,on=embedding+rtn@4bit,group_size=32", tie_word_embeddings=True)
    CompressedTensors().write(model, bpe(), result.variant, tmp_path, "float32", lambda *_: None)
    stored = load_file(tmp_path / "model.safetensors")
    assert torch.equal(stored["model.embed_tokens.weight"], model.get_input_embeddings().weight)
    assert not any("lm_head" in name for name in stored)


def test_unsupported_variants_are_rejected(tmp_path):
    model, result = made("magnitude@0.5")
    with pytest.raises(UserError, match="no stage of this variant quantises them; export it as huggingface or gguf"):
        exported(model, result, bpe(), tmp_path / "out", "compressed-tensors", "fp32")
    model, result = made("rtn@4bit,group_size=32,symmetric=false")
    assert grid_of(next(find_blocks(model).all_linears()).module).zero is not None
    with pytest.raises(UserError, match=r"has zero points; export it as gguf\."):
        exported(model, result, bpe(), tmp_path / "out", "compressed-tensors", "fp32")
    assert not list(tmp_path.iterdir())


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
