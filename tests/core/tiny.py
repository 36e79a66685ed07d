"""Tiny random models of many architectures, made in the test."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tools.architectures import models

COMMON = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
NO_WIDTH = {name: value for name, value in COMMON.items() if name != "head_dim"}  # of heads
OPT = dict(models.ARCHITECTURES["opt"])
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-gqa": ("llama", COMMON),
    "llama-mha": ("llama", COMMON | {"num_key_value_heads": 4}),
    "opt": ("opt", OPT),
    "gpt2": ("gpt2", {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "qwen2-sliding": ("qwen2", COMMON | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}),
    "qwen3": ("qwen3", COMMON),
    "mistral": ("mistral", COMMON | {"sliding_window": 8}),
    "gemma2": ("gemma2", COMMON | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", COMMON | {"sliding_window": 8, "query_pre_attn_scalar": 8}),
    "phi3": ("phi3", NO_WIDTH | {"pad_token_id": 0}),
}
# Those that only some tests run on.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm3": (
        "smollm3",
        COMMON | {"pad_token_id": 0, "no_rope_layer_interval": 2, "bos_token_id": None, "eos_token_id": None},
    ),
    "gpt-neo": (
        "gpt_neo",
        {"vocab_size": 97, "hidden_size": 32, "num_layers": 4, "num_heads": 4, "max_position_embeddings": 128}
        | {"attention_types": [[["global", "local"], 2]], "window_size": 8},
    ),
    "cohere": ("cohere", NO_WIDTH | {"pad_token_id": 0, "logit_scale": 0.25}),
    "granite": ("granite", NO_WIDTH | {"logits_scaling": 4.0}),
    "opt-projected": ("opt", OPT | {"word_embed_proj_dim": 24, "do_layer_norm_before": False}),
    # Gemma 3 270M in small: one key-value head, heads wider than hidden / heads, full attention in some blocks.
    "gemma3-mqa": (
        "gemma3_text",
        COMMON
        | {"hidden_size": 48, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 96}
        | {"num_hidden_layers": 4, "sliding_window": 8, "query_pre_attn_scalar": 16}
        | {"layer_types": ["sliding_attention", "full_attention"] * 2},
    ),
    "mixtral": ("mixtral", COMMON | {"num_local_experts": 8, "num_experts_per_tok": 2}),
    "olmo2": ("olmo2", NO_WIDTH | {"pad_token_id": 0}),
}
# Its experts are joined in two dimensions, so most weights of its blocks are in no linear.
PARTIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "dbrx": (
        "dbrx",
        {"vocab_size": 97, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}
        | {"attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0}}
        | {"ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2}},
    ),
}

JOINED = "joined projections"
LAYOUTS = {"gpt2": JOINED, "phi3": JOINED, "cohere": "parallel blocks", "mixtral": "mixture"}


def layout_of(name: str) -> str:
    """Return the class of a tiny model's blocks, for the tiers of the tests."""
    return LAYOUTS.get(name, "plain")


def tiny(name: str = "llama-gqa", seed: int = 0, **changes):
    """Return a random causal LM in evaluation mode, its weights large enough that attention matters."""
    kind, settings = (ARCHITECTURES | OTHERS | PARTIAL)[name]
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **(settings | changes), initializer_range=0.3)
    return AutoModelForCausalLM.from_config(config).eval()


def windows(count: int = 4, length: int = 24, seed: int = 1) -> torch.Tensor:
    return torch.randint(97, (count, length), generator=torch.Generator().manual_seed(seed))
