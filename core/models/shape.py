"""The shape of a model from its `config.json` alone: for estimates and cheap validation, without torch."""

import re
from collections.abc import Mapping
from typing import Any

from core.errors import UserError, echo
from core.specs import Frozen

# Families whose block is q, k, v, o and a gated FFN; the value says which extras count towards the parameters.
_GATED: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "phi3": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": "head"},
    "smollm3": {"tied": True},
    "olmo2": {"qk_norm": "all"},
    "granite": {},
    "cohere": {"tied": True, "norms": 1},
    "gemma": {"tied": True},
    "gemma2": {"tied": True, "norms": 4},
    "gemma3_text": {"tied": True, "norms": 4, "qk_norm": "head"},
}
# What width, blocks, positions and FFN width are called, and whether q, k and v have biases.
_GPT = {
    "gpt2": (("n_embd", "n_layer", "n_positions", "n_inner"), True),
    "gpt_neo": (("hidden_size", "num_layers", "max_position_embeddings", "intermediate_size"), False),
}
# Those that fail without their begin token at the start of every window.
_BEGIN = ("gemma", "gemma2", "gemma3_text")
# Linears of a block by name, {} being its index: as regular expressions for layers see it.
_QKV = tuple(f"self_attn.{name}_proj" for name in "qkv")
_OPT = tuple(f"model.decoder.layers.{{}}.{name}" for name in (*_QKV, "self_attn.out_proj", "fc1", "fc2"))
_PHI = ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
_LLAMA = (*_QKV, "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_NAMES = {family: tuple(f"model.layers.{{}}.{name}" for name in _LLAMA) for family in _GATED} | {
    "phi3": tuple(f"model.layers.{{}}.{name}" for name in _PHI),
    "opt": _OPT,
}
# All that must be whole numbers above 0 where a configuration has them.
SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "ffn_dim", "word_embed_proj_dim", "max_position_embeddings"),
    *(name for names, _ in _GPT.values() for name in names),
)


# Loaders build a module a layer: a configuration of a billion layers would keep them busy for hours.
MOST_LAYERS = 1_000
LAYERS = re.compile(r"(^|_)(layers?|depths?|blocks|experts)$")


class ModelShape(Frozen):
    parameters: int  # of the whole model, tied tensors once
    block_weights: int  # weights in block linears, without biases
    blocks: int
    hidden: int
    ffn: int
    vocabulary: int
    max_window: int  # positions the model was made for
    widths: tuple[int, ...]  # the distinct input widths of block linears; empty where the family is not known
    convolutions: int = 0  # weights in convolutions, of a model that is no language model
    names: tuple[str, ...] = ()  # of a block's linears, with {} for its index; empty where the family is not known

    @property
    def linears(self) -> list[tuple[int, str]]:
        """The block's index and the name of every linear inside the blocks, where they are known."""
        return [(block, name.format(block)) for block in range(self.blocks) for name in self.names]

    @property
    def saved(self) -> int:
        """About how many numbers a token leaves in the blocks for a backward pass."""
        return self.blocks * (10 * self.hidden + 4 * self.ffn)

    def forward(self, tokens: float, window: int, head: bool = False) -> float:
        """Return the operations of running tokens in windows through the blocks, and the vocabulary with `head`."""
        attention = 4 * window * self.hidden * self.blocks  # a token: scores and their weighted sum
        return tokens * (2 * self.block_weights + attention + (2 * self.vocabulary * self.hidden if head else 0))


def shape_from_config(config: Mapping[str, Any]) -> ModelShape:
    """Return the facts that follow from a configuration; a `UserError` where it lacks a size, or one is no size."""
    config = _text(config)
    family = str(config.get("model_type", ""))
    for name in SIZES:
        value = config.get(name, 1)
        if type(value) is not int or not 0 < value < 2**31:
            raise UserError(
                f"The configuration of this {family or 'unnamed'} model says {name} = {repr(value)[:40]}, "
                "where a whole number above 0 is expected."
            )
    check_depth(config)
    try:
        return _facts(config, family).model_copy(update={"names": _NAMES.get(family, ())})
    except KeyError as error:
        raise UserError(f"The configuration of this {family or 'unnamed'} model does not say {error}.") from None


def check_depth(config: Mapping[str, Any]) -> None:
    """Raise `UserError` where a configuration states more layers, or experts, than any model has."""
    for name, value in config.items():
        if isinstance(value, dict):
            check_depth(value)
        counts = value if isinstance(value, list) else [value]
        for count in counts:
            if LAYERS.search(str(name)) and type(count) is int and count > MOST_LAYERS:
                raise UserError(
                    f"The configuration says {name} = {echo(value)}, and at most {MOST_LAYERS} are built; correct it."
                )


def begins_windows(config: Mapping[str, Any]) -> bool:
    """Whether a model of this configuration must read its begin token at the start of every window."""
    return _text(config).get("model_type") in _BEGIN


def _text(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the language part, without what it leaves open."""
    inner = config.get("text_config")
    config = {**config, **(inner if isinstance(inner, dict) else {})}
    return {name: value for name, value in config.items() if value is not None}


def _facts(config, family: str) -> ModelShape:
    if family == "opt":
        return _opt(config)
    if family in _GPT:
        return _gpt(config, *_GPT[family])
    return _gated(config, known=family in _GATED, **_GATED.get(family, {}))


def _gated(config, known: bool, qkv_bias=False, qk_norm=None, norms=2, tied=False) -> ModelShape:
    hidden, blocks, ffn = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    heads, vocabulary = config["num_attention_heads"], config["vocab_size"]
    head = config.get("head_dim") or hidden // heads
    keys = (config.get("num_key_value_heads") or heads) * head  # width of k and of v
    queries = heads * head
    weights = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * ffn
    block = weights + norms * hidden
    if qkv_bias or config.get("attention_bias"):
        block += queries + 2 * keys + (0 if qkv_bias else hidden)
    if config.get("mlp_bias"):
        block += 2 * ffn + hidden
    block += {None: 0, "head": 2 * head, "all": queries + keys}[qk_norm]
    embeddings = 1 if config.get("tie_word_embeddings", tied) else 2
    return ModelShape(
        parameters=blocks * block + embeddings * vocabulary * hidden + hidden,
        block_weights=blocks * weights,
        blocks=blocks,
        hidden=hidden,
        ffn=ffn,
        vocabulary=vocabulary,
        max_window=config.get("max_position_embeddings", 2048),
        widths=tuple(sorted({hidden, queries, ffn})) if known else (),
    )


def _opt(config) -> ModelShape:
    hidden, positions, vocabulary = config["hidden_size"], config["max_position_embeddings"], config["vocab_size"]
    word = config.get("word_embed_proj_dim") or hidden
    # The position table has two rows more than positions.
    outside = vocabulary * word + (positions + 2) * hidden
    outside += 2 * hidden if config.get("do_layer_norm_before", True) else 0  # the final norm
    outside += 2 * word * hidden if word != hidden else 0  # projections from and to the embeddings
    return _plain(hidden, config["num_hidden_layers"], config["ffn_dim"], vocabulary, positions, outside)


def _gpt(config, names: tuple[str, str, str, str], qkv_bias: bool) -> ModelShape:
    hidden, blocks, positions = (config[name] for name in names[:3])
    vocabulary, ffn = config["vocab_size"], config.get(names[3]) or 4 * hidden
    outside = (vocabulary + positions) * hidden + 2 * hidden
    return _plain(hidden, blocks, ffn, vocabulary, positions, outside, qkv_bias)


def _plain(
    hidden: int, blocks: int, ffn: int, vocabulary: int, positions: int, outside: int, qkv_bias: bool = True
) -> ModelShape:
    """A block of q, k, v, o and an FFN of two linears, with biases and two layer norms; `outside` are other weights."""
    weights = 4 * hidden * hidden + 2 * hidden * ffn
    block = weights + (3 * hidden * qkv_bias + hidden + ffn + hidden) + 4 * hidden  # biases, norms
    return ModelShape(
        parameters=blocks * block + outside,
        block_weights=blocks * weights,
        blocks=blocks,
        hidden=hidden,
        ffn=ffn,
        vocabulary=vocabulary,
        max_window=positions,
        widths=tuple(sorted({hidden, ffn})),
    )
