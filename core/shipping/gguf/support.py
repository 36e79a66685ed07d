"""What GGUF export supports: types of tensors, and architectures with llama.cpp's names and differences.

It imports nothing that computes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from core.base.errors import UserError
from core.models.shape import Config

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

BLOCK = 32  # inputs of a row that share a scale
F16, Q8 = "F16", "Q8_0"
BITS = {Q8: 8, "Q4_0": 4, "Q4_1": 4, "Q5_0": 5, "Q5_1": 5}  # per code
TYPES = (F16, *BITS)
F32_BITS = 32  # of norms and biases
ROTATIONS = ("default", "linear", "llama3")  # kinds that only divide frequencies
PERIOD = 6  # of full-attention blocks, unless a file states another
SLIDING, FULL = "sliding_attention", "full_attention"


def bits_per_weight(kind: str) -> float:
    """Return the bits per weight, including its share of scale and minimum."""
    if kind == F16:
        return 16.0
    return BITS[kind] + 16 * (2 if kind.endswith("_1") else 1) / BLOCK


def exact_type(bits: float, group: int, zeros: bool, wanted: str) -> str | None:
    """Return the type as wide as `wanted` whose blocks store a grid's codes and scales; None if there is none.

    `bits` are of a code, `group` is the inputs that share a scale (0: the row), `zeros` means zero points.
    """
    width = BITS.get(wanted)
    if width is None or bits > width or group % BLOCK:
        return None
    form = f"Q{width}_{1 if zeros else 0}"
    return form if form in BITS else None


def type_for(inputs: int, wanted: str) -> str:
    """Return the type of a matrix: F16 if its rows are not whole blocks."""
    return F16 if inputs % BLOCK else wanted


def table_type(kind: str) -> str:
    """Return the type of an embedding or a head that is on no narrower grid, beside linears of type `kind`."""
    return F16 if kind == F16 else Q8


class Architecture(ABC):
    """A model architecture that GGUF describes."""

    label: ClassVar[str]  # display name
    norms: ClassVar[Mapping[str, str]]  # of a block: transformers' names -> GGUF's
    shift: ClassVar[float] = 0.0  # added to a norm's weight before multiplication
    turned: ClassVar[bool] = False  # whether rows of q and k are in another order

    @abstractmethod
    def check(self, config: Config) -> None:
        """Raise `UserError` for a configuration that GGUF cannot describe fully."""

    @abstractmethod
    def name(self, alike: bool) -> str:
        """Return llama.cpp's name, given whether all blocks have equal sizes; raise `UserError` if there is none."""

    @abstractmethod
    def add_positions(self, writer: GGUFWriter, config: PreTrainedConfig) -> None:
        """Write the position encoding and the attention windows."""

    def rope_factors(self, model: PreTrainedModel) -> Tensor | None:
        """Return the divisors (head / 2,) of the rotary frequencies; None for plain frequencies."""
        return None


class Llama(Architecture):
    """Llama models, whose blocks may have different sizes."""

    label = "Llama"
    norms: ClassVar = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    turned = True

    def check(self, config: Config) -> None:
        if (act := config.get("hidden_act", "silu")) != "silu":
            raise UserError(f"GGUF does not support Llama models with hidden_act {act}; export it as huggingface.")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind not in ROTATIONS:
            raise UserError(f"GGUF export does not support the RoPE type {kind!r}; export it as huggingface.")

    def name(self, alike: bool) -> str:
        return "llama" if alike else "deci"  # Llama with sizes per block

    def add_positions(self, writer: GGUFWriter, config: PreTrainedConfig) -> None:
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])

    def rope_factors(self, model: PreTrainedModel) -> Tensor | None:
        import torch

        own = model.base_model.get_submodule("rotary_emb").get_buffer("inv_freq").float().cpu()
        steps = torch.arange(0, 2 * len(own), 2, dtype=torch.int64).float() / (2 * len(own))
        plain = 1.0 / model.config.rope_parameters["rope_theta"] ** steps
        return None if torch.allclose(own, plain, rtol=1e-5) else plain / own


class Gemma3(Architecture):
    """Gemma 3 text models, whose blocks have equal sizes."""

    label = "Gemma 3"
    norms: ClassVar = {
        "input_layernorm": "attn_norm",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    }
    shift = 1.0

    def check(self, config: Config) -> None:
        plain = {
            "hidden_activation": ("gelu_pytorch_tanh", None),
            "query_pre_attn_scalar": (config.get("head_dim"), None),
            "final_logit_softcapping": (None,),
            "attn_logit_softcapping": (None,),
            "use_bidirectional_attention": (False, None),
        }
        for name, known in plain.items():
            if config.get(name) not in known:
                raise UserError(
                    f"GGUF does not support Gemma 3 models with {name} {config[name]}; export it as huggingface."
                )
        for rope in (config.get("rope_parameters") or {}).values():
            if isinstance(rope, Mapping) and rope.get("rope_type", "default") != "default":
                kind = rope["rope_type"]
                raise UserError(f"GGUF export does not support the RoPE type {kind!r}; export it as huggingface.")
        if "layer_types" in config:
            period(config["layer_types"])

    def name(self, alike: bool) -> str:
        if alike:
            return "gemma3"
        raise UserError(
            "GGUF does not support a Gemma 3 with blocks of different sizes; export it as huggingface, or compress all "
            "blocks alike."
        )

    def add_positions(self, writer: GGUFWriter, config: PreTrainedConfig) -> None:
        writer.add_sliding_window(config.sliding_window)
        if (every := period(config.layer_types)) != PERIOD:
            writer.add_sliding_window_pattern(every)
        writer.add_rope_freq_base(config.rope_parameters[FULL]["rope_theta"])
        writer.add_rope_freq_base_swa(config.rope_parameters[SLIDING]["rope_theta"])


def period(kinds: list[str]) -> int:
    """Return the period of the full-attention blocks; raise `UserError` if they are not periodic."""
    for every in chain((PERIOD,), range(1, len(kinds) + 2)):
        if kinds == [SLIDING if (place + 1) % every else FULL for place in range(len(kinds))]:
            return every
    raise UserError(
        "GGUF does not support a Gemma 3 without a regular period of full-attention blocks, as after block removal; "
        "export it as huggingface."
    )


ARCHITECTURES = {"llama": Llama(), "gemma3_text": Gemma3()}  # by transformers' type


def architecture_of(config: Config) -> Architecture:
    """Return the architecture of a configuration that GGUF describes fully; raise `UserError` otherwise."""
    found = ARCHITECTURES.get(config.get("model_type", ""))
    if found is None:
        known = " and ".join(one.label for one in ARCHITECTURES.values())
        raise UserError(
            f"GGUF export supports {known} models, and this one is {config.get('model_type', 'unnamed')}; "
            "export it as huggingface."
        )
    found.check(config)
    return found
