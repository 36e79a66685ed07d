"""Tiny random models of many architectures, in the words of their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Settings = Mapping[str, Any]  # Any: of a configuration, whose fields depend on the architecture

VOCABULARY = 97
NO_WIDTH: Settings = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
COMMON: Settings = {**NO_WIDTH, "head_dim": 8}
GPT: Settings = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
FALCON: Settings = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
STATES: Settings = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
EXPERTS: Settings = {
    "num_experts": 8,
    "num_local_experts": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 1,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
    "shared_expert_intermediate_size": 24,
}
LATENT: Settings = {  # DeepSeek's attention
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 4,
}
CONVOLVED: Settings = {"layer_types": ["conv", "full_attention"]}
MAMBA: Settings = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_n_groups": 1,
    "mamba_d_state": 8,
    "mamba_chunk_size": 8,
}

ARCHITECTURES: Mapping[str, Settings] = {
    "llama": COMMON,
    "mistral": COMMON,
    "qwen2": COMMON,
    "qwen3": COMMON,
    "gemma": COMMON,
    "gemma2": COMMON,
    "gemma3_text": COMMON,
    "phi": NO_WIDTH,
    "phi3": NO_WIDTH,
    "olmo": NO_WIDTH,
    "olmo2": NO_WIDTH,
    "olmo3": NO_WIDTH,
    "glm": COMMON,
    "glm4": COMMON,
    "granite": NO_WIDTH,
    "cohere": NO_WIDTH,
    "cohere2": NO_WIDTH,
    "stablelm": NO_WIDTH,
    "starcoder2": NO_WIDTH,
    "smollm3": COMMON,
    "nemotron": NO_WIDTH,
    "exaone4": COMMON,
    "ernie4_5": COMMON,
    "seed_oss": COMMON,
    "helium": COMMON,
    "persimmon": NO_WIDTH,
    "apertus": NO_WIDTH,
    "arcee": COMMON,
    "bitnet": NO_WIDTH,
    "opt": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "word_embed_proj_dim": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
    },
    "gpt2": GPT,
    "gpt_bigcode": GPT,
    "gpt_bigcode (multi-head)": {**GPT, "multi_query": False},
    "gpt_neo": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
        "max_position_embeddings": 128,
    },
    "gpt_neox": NO_WIDTH,
    "gpt_neox_japanese": NO_WIDTH,
    "gptj": {**GPT, "rotary_dim": 4},
    "codegen": {**GPT, "rotary_dim": 4},
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "xglm": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "ffn_dim": 48,
        "num_layers": 2,
        "attention_heads": 4,
        "max_position_embeddings": 128,
        "init_std": 0.3,
    },
    "mpt": {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128},
    "falcon": FALCON,
    "falcon (grouped)": {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon (ALiBi)": {**FALCON, "alibi": True},
    "mixtral": {**COMMON, **EXPERTS},
    "qwen2_moe": {**NO_WIDTH, **EXPERTS},
    "qwen3_moe": {**COMMON, **EXPERTS},
    "olmoe": {**NO_WIDTH, **EXPERTS},
    "phimoe": {**NO_WIDTH, **EXPERTS},
    "deepseek_v2": {**NO_WIDTH, **EXPERTS, **LATENT},
    "deepseek_v3": {**NO_WIDTH, **EXPERTS, **LATENT},
    "gpt_oss": {**COMMON, **EXPERTS},
    "granitemoe": {**NO_WIDTH, **EXPERTS},
    "ernie4_5_moe": {**NO_WIDTH, **EXPERTS, "moe_num_experts": 8, "moe_k": 2},
    "glm4_moe": {**COMMON, **EXPERTS, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    "hunyuan_v1_moe": {**COMMON, **EXPERTS},
    "minimax": {**COMMON, **EXPERTS, "layer_types": ["full_attention", "linear_attention"]},
    "llama4_text": {**COMMON, **EXPERTS, "intermediate_size_mlp": 48},
    "dbrx": {
        "vocab_size": VOCABULARY,
        "d_model": 32,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 128,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 8, "moe_top_k": 2},
    },
    "jetmoe": {**NO_WIDTH, **EXPERTS},
    "mamba": STATES,
    "mamba2": {**STATES, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "falcon_mamba": STATES,
    "rwkv": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "attention_hidden_size": 32,
        "intermediate_size": 64,
        "context_length": 128,
        "rescale_every": 0,
    },
    "jamba": {
        **NO_WIDTH,
        **EXPERTS,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "use_mamba_kernels": False,
    },
    "qwen3_next": {
        **COMMON,
        **EXPERTS,
        "num_hidden_layers": 4,
        "layer_types": ["linear_attention", "full_attention"] * 2,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    "lfm2": {**NO_WIDTH, **CONVOLVED, "block_ff_dim": 48},
    "lfm2_moe": {**NO_WIDTH, **EXPERTS, **CONVOLVED, "num_dense_layers": 1},
    "granitemoehybrid": {
        **NO_WIDTH,
        **EXPERTS,
        **MAMBA,
        "layer_types": ["mamba", "attention"],
        "shared_intermediate_size": 48,
    },
    "bamba": {**NO_WIDTH, **MAMBA, "attn_layer_indices": [1]},
    "falcon_h1": {**NO_WIDTH, **MAMBA, "num_hidden_layers": 3, "mamba_d_ssm": 64, "lm_head_multiplier": 0.5},
    "nemotron_h": {
        **COMMON,
        "layers_block_type": ["linear_attention", "full_attention", "mlp"],
        "ssm_state_size": 8,
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "zamba2": {
        **NO_WIDTH,
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "mamba_d_state": 8,
        "n_mamba_heads": 8,
        "chunk_size": 8,
        "adapter_rank": 4,
    },
    "recurrent_gemma": {**NO_WIDTH, "block_types": ["recurrent", "attention"], "logits_soft_cap": 10.0},
}


def random_model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """Return a random model of an architecture, its weights large enough that attention matters."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    kind = architecture.partition(" ")[0]  # a variant of an architecture follows in brackets
    config = AutoConfig.for_model(kind, **ARCHITECTURES[architecture], initializer_range=0.3)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    return model


def tiny_model(architecture: str, seed: int = 0) -> PreTrainedModel:
    """Return the `random_model` with separate experts, as Slimscope has it in memory."""
    from core.models.parts.experts import separate_experts

    model = random_model(architecture, seed)
    separate_experts(model)
    return model
