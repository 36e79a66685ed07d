"""What llama.cpp calls the kinds of models that are written for it, and where its form of them is not transformers'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from core.errors import UserError

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from torch import Tensor
    from transformers import PreTrainedModel

ROTATIONS = ("default", "linear", "llama3")  # that only divide frequencies
PERIOD = 6  # blocks of a Gemma 3, of which the last reads all of the text, where a file says no other
SLIDING, FULL = "sliding_attention", "full_attention"


class Architecture(ABC):
    """A kind of models that GGUF describes."""

    label: ClassVar[str]  # for people
    norms: ClassVar[Mapping[str, str]]  # of a block: transformers' names -> GGUF's
    shift: ClassVar[float] = 0.0  # what norms multiply by besides their weight
    turned: ClassVar[bool] = False  # whether the rows of q and k stand in another order

    @abstractmethod
    def check(self, config: Mapping[str, Any]) -> None:
        """Raise `UserError` for a configuration that GGUF does not describe whole."""

    @abstractmethod
    def name(self, alike: bool) -> str:
        """Return llama.cpp's name, by whether all blocks are alike; a `UserError` where it has none."""

    @abstractmethod
    def add_positions(self, writer: GGUFWriter, config: Any) -> None:
        """Write what tells where a token stands, and how far it reads."""

    def rope_factors(self, model: PreTrainedModel) -> Tensor | None:
        """Return by what each frequency of the rotation is divided (head / 2,); None where they are the plain ones."""
        return None


class Llama(Architecture):
    label = "Llama"
    norms: ClassVar = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    turned = True

    def check(self, config: Mapping[str, Any]) -> None:
        if (act := config.get("hidden_act", "silu")) != "silu":
            raise UserError(f"GGUF has no form for a Llama model whose hidden_act is {act}; export it as huggingface.")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        turned = rope.get("rope_type") or rope.get("type") or "default"
        if turned not in ROTATIONS:
            raise UserError(f"GGUF is not written for positions of the kind {turned!r}; export it as huggingface.")

    def name(self, alike: bool) -> str:
        return "llama" if alike else "deci"  # which is Llama with sizes of its own in each block

    def add_positions(self, writer: GGUFWriter, config: Any) -> None:
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])

    def rope_factors(self, model: PreTrainedModel) -> Tensor | None:
        import torch

        own = model.base_model.get_submodule("rotary_emb").get_buffer("inv_freq").float().cpu()
        steps = torch.arange(0, 2 * len(own), 2, dtype=torch.int64).float() / (2 * len(own))
        plain = 1.0 / model.config.rope_parameters["rope_theta"] ** steps
        return None if torch.allclose(own, plain, rtol=1e-5) else plain / own


class Gemma3(Architecture):
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

    def check(self, config: Mapping[str, Any]) -> None:
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
                    f"GGUF has no form for a Gemma 3 whose {name} is {config[name]}; export it as huggingface."
                )
        for rope in (config.get("rope_parameters") or {}).values():
            if isinstance(rope, Mapping) and rope.get("rope_type", "default") != "default":
                kind = rope["rope_type"]
                raise UserError(f"GGUF is not written for positions of the kind {kind!r}; export it as huggingface.")
        if "layer_types" in config:
            period(config["layer_types"])

    def name(self, alike: bool) -> str:
        if alike:
            return "gemma3"
        raise UserError(
            "GGUF has no form for a Gemma 3 with blocks of different sizes; export it as huggingface, or compress with "
            "a method that leaves all blocks alike."
        )

    def add_positions(self, writer: GGUFWriter, config: Any) -> None:
        writer.add_sliding_window(config.sliding_window)
        if (every := period(config.layer_types)) != PERIOD:
            writer.add_sliding_window_pattern(every)
        writer.add_rope_freq_base(config.rope_parameters[FULL]["rope_theta"])
        writer.add_rope_freq_base_swa(config.rope_parameters[SLIDING]["rope_theta"])


def period(kinds: list[str]) -> int:
    """Return of how many blocks the last reads all of the text; a `UserError` where that is not told by a number."""
    for every in (PERIOD, *range(1, len(kinds) + 2)):
        if kinds == [SLIDING if (place + 1) % every else FULL for place in range(len(kinds))]:
            return every
    raise UserError(
        "GGUF has no form for a Gemma 3 whose blocks that read all of the text do not come at equal steps, as where "
        "blocks are gone; export it as huggingface."
    )


ARCHITECTURES = {"llama": Llama(), "gemma3_text": Gemma3()}  # by transformers' type


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture of a configuration that GGUF describes whole; a `UserError` for another one."""
    found = ARCHITECTURES.get(config.get("model_type", ""))
    if found is None:
        known = " and ".join(one.label for one in ARCHITECTURES.values())
        raise UserError(
            f"GGUF is written for {known} models, and this one is {config.get('model_type', 'of no named kind')}; "
            "export it as huggingface."
        )
    found.check(config)
    return found
