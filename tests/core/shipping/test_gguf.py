"""GGUF files of tiny models and their blocks, read by transformers' own reader and by llama.cpp in its own process."""

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM

from core.base.errors import CancelledError, UserError
from core.methods.find import find_grid
from core.methods.quantised.hqq import fitted
from core.models.parts.blocks import find_blocks
from core.models.parts.grids import Grid, grid_of
from core.models.removal.units import find_units
from core.shipping import proof
from core.shipping.gguf.format import GGUF
from core.shipping.gguf.support import BITS, architecture_of, bits_per_weight, period, type_for
from core.shipping.gguf.tensors import encoded, on_grid, type_on
from core.shipping.gguf.tokenizer import SPLITS, of_pieces, split_name
from tests.core.engine.applied import stopping
from tests.core.shipping.exported import LLAMA, bpe, exported, made, pieces, source_of
from tests.core.tiny import tiny

CLOSE = 0.15  # nats, in a random model, whose states llama.cpp keeps in 16 bits


def opened(folder):
    (file,) = folder.glob("*.gguf")
    return GGUFReader(file)


def fields(folder):
    return {name: field.contents() for name, field in opened(folder).fields.items()}


def test_equal_blocks_are_exported_as_a_plain_llama(tmp_path):
    model, result = made("dense", attention_bias=True)
    for name, bias in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias)
    shown = exported(model, result, bpe(), tmp_path / "out", "gguf", "F16")
    assert shown.same_tokens and shown.difference < CLOSE and shown.same_first == 4
    metadata = fields(tmp_path / "out")
    assert metadata["general.architecture"] == "llama" and metadata["llama.attention.head_count"] == 4
    assert "general.quantization_version" not in metadata
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file="model-F16.gguf", dtype=torch.float32)
    ours = model.state_dict()
    for name, weight in read.state_dict().items():
        if not name.endswith("bias"):  # which that reader leaves in llama.cpp's order
            assert torch.allclose(weight, ours[name], atol=1e-3, rtol=1e-3), name


@pytest.mark.parametrize("chain", ["slimllm@0.3", "flap@0.3", "neuron-magnitude@0.3+rtn@4bit,group_size=16"])
@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_llama_cpp_reads_blocks_of_different_shapes(chain, kind, tmp_path):
    model, result = made(chain)
    blocks = find_blocks(model)
    shapes = [find_units(blocks, index).geometry for index in range(len(blocks.holder))]
    shown = exported(model, result, bpe(), tmp_path / "out", "gguf", kind)
    assert shown.reason is None and shown.same_tokens and shown.difference < (CLOSE if kind == "F16" else 1.5)
    metadata = fields(tmp_path / "out")
    if len({(shape.query_heads, shape.channels) for shape in shapes}) == 1:
        assert metadata["general.architecture"] == "llama"
        return
    assert metadata["deci.attention.head_count"] == [shape.query_heads for shape in shapes]
    widths = [shape.channels if kind == "F16" else -(-shape.channels // 32) * 32 for shape in shapes]
    assert metadata["deci.feed_forward_length"] == widths
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("padded with zero channels" in card) == (widths != [shape.channels for shape in shapes])


def test_removed_blocks_leave_no_gap_in_the_numbering(tmp_path):
    model, result = made("shortgpt@0.3")
    shown = exported(model, result, bpe(), tmp_path / "out", "gguf", "F16")
    assert fields(tmp_path / "out")["llama.block_count"] == 2 and shown.difference < CLOSE


@pytest.mark.parametrize("settings", ["", ",symmetric=false"])
def test_quantised_weights_keep_their_codes(settings, tmp_path):
    model, result = made(f"magnitude@0.5+rtn@4bit,group_size=32{settings}")
    shown = exported(model, result, bpe(), tmp_path / "out", "gguf", GGUF().default(result.variant))
    assert "21 matrices keep the codes and scales of their grid." in (tmp_path / "out" / "README.md").read_text()
    assert shown.reason is None and shown.difference < 1.5
    assert fields(tmp_path / "out")["general.quantization_version"] == GGML_QUANT_VERSION
    kinds = kinds_of(tmp_path / "out")
    assert kinds["blk.0.attn_q.weight"] == ("Q4_1" if settings else "Q4_0")
    assert kinds["token_embd.weight"] == "Q8_0" and kinds["output_norm.weight"] == "F32"
    weight = model.get_parameter("model.layers.0.mlp.up_proj.weight").numpy(force=True)
    # 16 bits round the minimum of an asymmetric group, and nothing of a symmetric one.
    close = 0 if not settings else 2**-11 * np.abs(weight).max()
    assert np.abs(matrix(tmp_path / "out", "blk.0.ffn_up.weight") - weight).max() <= close
    grid = grid_of(model.get_submodule("model.layers.0.mlp.up_proj"))
    assert (grid.scale < 0).any() == (not settings)  # a signed scale leaves as it is


def matrix(folder, name):
    """Return a tensor of a file (out, in), as the gguf package reads it."""
    tensor = next(tensor for tensor in opened(folder).tensors if tensor.name == name)
    return dequantize(tensor.data, tensor.tensor_type)


def kinds_of(folder):
    return {tensor.name: tensor.tensor_type.name for tensor in opened(folder).tensors}


def test_quantised_embeddings_and_mixed_bits_keep_their_codes(tmp_path):
    model, result = made("rtn@4bit,group_size=32,on=embedding+rtn@8bit,group_size=32", tie_word_embeddings=True)
    form = GGUF()
    assert form.default(result.variant) == "Q8_0"
    assert exported(model, result, bpe(), tmp_path / "eight", "gguf", "Q8_0").reason is None
    assert set(kinds_of(tmp_path / "eight").values()) == {"Q8_0", "F32"}
    card = (tmp_path / "eight" / "README.md").read_text()
    assert "22 matrices keep the codes and scales of their grid." in card
    assert exported(model, result, bpe(), tmp_path / "four", "gguf", "Q4_0").reason is None
    assert kinds_of(tmp_path / "four")["token_embd.weight"] == "Q4_0"
    for name in ("eight", "four"):
        tensors = sum(int(tensor.n_bytes) for tensor in opened(tmp_path / name).tensors)
        size = form.size(result.variant, source_of(model), result.counted, {"eight": "Q8_0", "four": "Q4_0"}[name])
        assert size == pytest.approx(tensors, rel=0.001)


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    "rope", [{"rope_type": "linear", "factor": 2.0}, LLAMA3 | {"original_max_position_embeddings": 32}]
)
def test_llama_cpp_reads_scaled_rope(rope, tmp_path):
    model, result = made("dense", rope_parameters={"rope_theta": 10000.0, **rope})
    assert exported(model, result, bpe(), tmp_path / "out", "gguf", "F16").difference < CLOSE


ODD = (
    "  two  spaces,\ttabs\n\n\nand lines ",
    "1234567 numbers, 3.14 and x2y",
    "<|begin|>special<|end|> tokens <|begin|>",
    "naïve café, 日本語, emoji 🙂, don't WE'LL",
)


@pytest.mark.parametrize("split", SPLITS)
def test_llama_cpp_tokenises_like_transformers(split, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "PROMPTS", ODD)
    tokenizer = bpe(split)
    model, result = made("dense")
    assert exported(model, result, tokenizer, tmp_path / "out", "gguf", "F16").same_tokens
    metadata = fields(tmp_path / "out")
    assert metadata["tokenizer.ggml.pre"] == split
    assert metadata["tokenizer.ggml.add_bos_token"] == (split == "llama-bpe")
    assert (
        metadata["tokenizer.ggml.eos_token_id"] == 1 and metadata["tokenizer.chat_template"] == tokenizer.chat_template
    )


@pytest.mark.parametrize(
    ("chain", "what"),
    [("lorap@0.3", "low-rank factors of LoRAP"), ("slicegpt@0.3", "rotated blocks of SliceGPT")],
)
def test_unsupported_variants_are_rejected_before_writing(chain, what, tmp_path):
    model, result = made(chain)
    with pytest.raises(UserError, match=f"GGUF does not support .*{what}.*export it as huggingface"):
        exported(model, result, bpe(), tmp_path / "new" / "out", "gguf", "F16")
    assert not (tmp_path / "new").exists()


def test_weights_unknown_to_llama_are_rejected_whatever_the_stages(tmp_path):
    model, result = made("dense")
    model.model.norm = torch.nn.Sequential(model.model.norm)
    with pytest.raises(UserError, match=r"GGUF does not support model\.norm\.0\.weight, which no plain Llama has"):
        exported(model, result, bpe(), tmp_path / "out", "gguf", "F16")
    assert not list(tmp_path.iterdir())


def test_an_unsupported_architecture_or_tokenizer_is_rejected():
    with pytest.raises(UserError, match="supports Llama and Gemma 3 models, and this one is qwen3"):
        architecture_of(tiny("qwen3").config.to_dict())
    with pytest.raises(UserError, match="RoPE type 'yarn'"):
        architecture_of({"model_type": "llama", "rope_scaling": {"type": "yarn"}})
    with pytest.raises(UserError, match="byte-level BPE tokenizers"):
        split_name({"model": {"type": "WordLevel"}, "pre_tokenizer": {"type": "Whitespace"}})


def test_a_vocabulary_with_extra_rows_is_padded(tmp_path):
    model, result = made("dense", vocab_size=LLAMA["vocab_size"] + 64, tie_word_embeddings=True)
    shown = exported(model, result, bpe(), tmp_path / "out", "gguf", "F16")
    assert shown.same_tokens and shown.difference < CLOSE


def test_a_cancelled_export_or_one_on_a_full_disk_leaves_no_files(tmp_path, monkeypatch):
    def full(writer, tensor):
        raise OSError("186624 requested and 95712 written")  # numpy's words

    (model, result), out = made("dense"), tmp_path / "new" / "out"
    for stage in ("save", "prove"):
        with pytest.raises(CancelledError):
            exported(model, result, bpe(), out, "gguf", "F16", stopping(lambda at, *_, stage=stage: at == stage))
        assert not list(out.parent.iterdir())
    monkeypatch.setattr(GGUFWriter, "write_tensor_data", full)
    with pytest.raises(UserError, match=r"could not be saved in .*: No space left on device"):
        exported(model, result, bpe(), out, "gguf", "F16")
    assert not list(out.parent.iterdir())


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


WEIGHT = torch.randn(6, 192, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group", [32, 64, 192])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("wanted", BITS)
def test_a_symmetric_grid_is_written_exactly(wanted, bits, group):
    grid = find_grid(WEIGHT, bits, group)
    on = grid.nearest(WEIGHT)
    if bits > BITS[wanted]:
        assert type_on(grid, wanted) is None
        return
    kind = type_on(grid, wanted)
    assert kind == f"Q{BITS[wanted]}_0"
    made = on_grid(on.numpy(), grid, kind)
    assert 8 * made.nbytes / WEIGHT.numel() == bits_per_weight(kind)
    assert np.array_equal(dequantize(made, GGMLQuantizationType[kind]), on.numpy())


@pytest.mark.parametrize(
    "grid",
    [
        find_grid(WEIGHT, 4, 32, symmetric=False),
        find_grid(WEIGHT, 3, 64, symmetric=False),
        fitted(WEIGHT, 4, 32, 0.7, 5),
    ],
)
@pytest.mark.parametrize("wanted", ["Q4_0", "Q4_1", "Q5_0"])
def test_an_asymmetric_grid_loses_no_more_than_the_rounding_of_its_minimum(wanted, grid):
    kind = type_on(grid, wanted)
    assert kind == f"Q{BITS[wanted]}_1"
    on = grid.nearest(WEIGHT)
    back = torch.from_numpy(dequantize(on_grid(on.numpy(), grid, kind), GGMLQuantizationType[kind]))
    least = (grid.zero * grid.scale).abs().repeat_interleave(grid.group, 1)  # of which 16 bits round
    assert ((back - on).abs() <= 2**-11 * least + 1e-6).all()


def test_weights_without_an_exact_block_type_are_rounded():
    asymmetric = find_grid(WEIGHT, 8, 32, symmetric=False)
    narrow = find_grid(WEIGHT, 4, 16)
    assert type_on(asymmetric, "Q8_0") is None and type_on(narrow, "Q4_0") is None
    assert type_on(None, "Q4_0") is None and type_on(narrow, "F16") is None
    assert type_for(192, "Q4_0") == "Q4_0" and type_for(200, "Q4_0") == "F16"
    assert encoded(WEIGHT.numpy(), "F16").dtype == np.float16


def test_a_block_of_zeros_is_zero():
    grid = Grid(4, 32, torch.full((2, 1), 2.0**-24))
    assert not dequantize(on_grid(np.zeros((2, 32), np.float32), grid, "Q4_0"), GGMLQuantizationType.Q4_0).any()
