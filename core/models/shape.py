"""The shape of a model from its `config.json` alone, for estimates and cheap validation; imports no torch."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from core.base.errors import UserError, echo
from core.specs import Frozen

Config = Mapping[str, Any]  # Any: JSON, in which each architecture has fields of its own


class _Family(TypedDict, total=False):
    """The arguments of `_gated` in which families differ."""

    qkv_bias: bool
    qk_norm: Literal["head", "all"]
    norms: int
    tied: bool


# Families whose block has q, k, v, o and a gated FFN; the value names further parameters.
_GATED: dict[str, _Family] = {
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
# Families that fail without their begin token at the start of every sequence.
_BEGIN = ("gemma", "gemma2", "gemma3_text")
# Names of a block's linears, with {} for its index, as layer selections see them.
_QKV = tuple(f"self_attn.{name}_proj" for name in "qkv")
_OPT = tuple(f"model.decoder.layers.{{}}.{name}" for name in (*_QKV, "self_attn.out_proj", "fc1", "fc2"))
_PHI = ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
_LLAMA = (*_QKV, "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_NAMES = {family: tuple(f"model.layers.{{}}.{name}" for name in _LLAMA) for family in _GATED} | {
    "phi3": tuple(f"model.layers.{{}}.{name}" for name in _PHI),
    "opt": _OPT,
}
# Fields that must be whole numbers above 0 if present.
SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "ffn_dim", "word_embed_proj_dim", "max_position_embeddings"),
    *("n_embd", "n_layer", "n_positions", "n_inner", "num_layers"),
)

MOST_UNCOVERED = 0.1  # share of the block weights that may stay dense without the user's consent
# Loaders build one module per layer, which would take hours for a configuration with a billion layers.
MOST_LAYERS = 1_000
LAYERS = re.compile(r"(^|_)(layers?|depths?|blocks|experts)$")


class ModelShape(Frozen):
    """Sizes of a model that follow from its configuration."""

    parameters: int  # of the whole model, tied tensors counted once
    block_weights: int  # weights in block linears, without biases
    active_weights: int | None = None  # those that compute one token; None: all, as there are no experts
    uncovered: int = 0  # weights of blocks that are in no linear, such as those of recurrences, and so stay dense
    blocks: int
    hidden: int
    ffn: int
    vocabulary: int
    max_window: int  # positions that the model supports
    widths: tuple[int, ...]  # distinct input widths of block linears
    names: tuple[str, ...] = ()  # of a block's linears, with {} for its index; empty for an unknown family
    matrices: tuple[tuple[int, int, int], ...] = ()  # (out, in) of block linears, and how many there are of each
    tables: int = 0  # embedding tables (vocabulary, hidden), a tied head not counted

    @property
    def linears(self) -> list[tuple[int, str]]:
        """Block index and name of every block linear; empty for an unknown family."""
        return [(block, name.format(block)) for block in range(self.blocks) for name in self.names]

    @property
    def is_mixture(self) -> bool:
        """Whether the model has experts, of which some compute a token."""
        return self.active_weights not in (None, self.block_weights)

    @property
    def uncovered_share(self) -> float:
        """The share of the block weights that are in no linear."""
        return self.uncovered / (self.uncovered + self.block_weights)

    @property
    def saved(self) -> int:
        """Approximate numbers that the blocks store per token for a backward pass."""
        return self.blocks * (10 * self.hidden + 4 * self.ffn)

    def saved_by(self, streams: bool) -> int:
        """Return `saved`; a model that streams stores only the inputs of its blocks and the numbers of one."""
        return self.blocks * self.hidden + self.saved // self.blocks if streams else self.saved

    def forward(self, tokens: float, window: int, head: bool = False) -> float:
        """Return the operations of a forward pass of tokens in windows; `head` adds the output head."""
        attention = 4 * window * self.hidden * self.blocks  # per token: scores and their weighted sum
        used = self.active_weights or self.block_weights
        return tokens * (2 * used + attention + (2 * self.vocabulary * self.hidden if head else 0))


def shape_from_config(config: Config) -> ModelShape:
    """Return the shape that a configuration of a known family describes.

    Raises `UserError` for a missing or invalid size.
    """
    check_sizes(config)
    config = text_part(config)
    family = str(config.get("model_type", ""))
    try:
        shape = _opt(config) if family == "opt" else _gated(config, **_GATED.get(family, {}))
        return shape.model_copy(update={"names": _NAMES.get(family, ())})
    except KeyError as error:
        raise UserError(f"The configuration of this {family or 'unnamed'} model lacks {error}.") from None


def is_known(config: Config) -> bool:
    """Return whether the shape of a model follows from its configuration alone, as its family is known."""
    return str(text_part(config).get("model_type", "")) in (*_GATED, "opt")


def check_sizes(config: Config) -> None:
    """Raise `UserError` for a size of a configuration that is no whole number above 0, or for too many layers."""
    config = text_part(config)
    for name in SIZES:
        value = config.get(name, 1)
        if type(value) is not int or not 0 < value < 2**31:
            raise UserError(
                f"The configuration of this {config.get('model_type') or 'unnamed'} model has {name} = "
                f"{repr(value)[:40]}; give a whole number above 0."
            )
    check_depth(config)


def check_depth(config: Config) -> None:
    """Raise `UserError` if a configuration has more than `MOST_LAYERS` layers or experts."""
    for name, value in config.items():
        if isinstance(value, dict):
            check_depth(value)
        counts = value if isinstance(value, list) else [value]
        for count in counts:
            if LAYERS.search(str(name)) and type(count) is int and count > MOST_LAYERS:
                raise UserError(f"The configuration has {name} = {echo(value)}; at most {MOST_LAYERS} are allowed.")


def begins_windows(config: Config) -> bool:
    """Return whether a model of this configuration needs its begin token at the start of every sequence."""
    return text_part(config).get("model_type") in _BEGIN


def head_width(config: Config) -> int | None:
    """Return the width of an attention head; None if the configuration lacks the number of heads."""
    config = text_part(config)
    heads, hidden = (
        next((config[name] for name in names if name in config), None)
        for names in (("num_attention_heads", "n_head", "num_heads"), ("hidden_size", "n_embd"))
    )
    return config.get("head_dim") or (hidden // heads if heads and hidden else None)


def text_part(config: Config) -> Config:
    """Return the configuration of the language part, without null entries."""
    inner = config.get("text_config")
    config = {**config, **(inner if isinstance(inner, dict) else {})}
    return {name: value for name, value in config.items() if value is not None}


def _gated(
    config: Config,
    qkv_bias: bool = False,
    qk_norm: Literal["head", "all"] | None = None,
    norms: int = 2,
    tied: bool = False,
) -> ModelShape:
    hidden, blocks, ffn = config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"]
    heads, vocabulary = config["num_attention_heads"], config["vocab_size"]
    head = config.get("head_dim") or hidden // heads
    keys = (config.get("num_key_value_heads") or heads) * head  # width of k and of v
    queries = heads * head
    others = norms * hidden
    if qkv_bias or config.get("attention_bias"):
        others += queries + 2 * keys + (0 if qkv_bias else hidden)
    if config.get("mlp_bias"):
        others += 2 * ffn + hidden
    others += {None: 0, "head": 2 * head, "all": queries + keys}[qk_norm]
    embeddings = 1 if config.get("tie_word_embeddings", tied) else 2
    matrices = (queries, hidden, 1), (keys, hidden, 2), (hidden, queries, 1), (ffn, hidden, 2), (hidden, ffn, 1)
    outside = embeddings * vocabulary * hidden + hidden
    positions = config.get("max_position_embeddings", 2048)
    return _of_blocks(blocks, matrices, others, outside, hidden, ffn, vocabulary, positions, embeddings)


def _of_blocks(
    blocks: int,
    matrices: Sequence[tuple[int, int, int]],
    others: int,
    outside: int,
    hidden: int,
    ffn: int,
    vocabulary: int,
    positions: int,
    tables: int,
) -> ModelShape:
    """Return the shape of equal blocks with `matrices` and `others` parameters, and `outside` ones outside of them."""
    weights = sum(rows * columns * count for rows, columns, count in matrices)
    return ModelShape(
        parameters=blocks * (weights + others) + outside,
        block_weights=blocks * weights,
        blocks=blocks,
        hidden=hidden,
        ffn=ffn,
        vocabulary=vocabulary,
        max_window=positions,
        widths=tuple(sorted({columns for _, columns, _ in matrices})),
        matrices=tuple((rows, columns, count * blocks) for rows, columns, count in matrices),
        tables=tables,
    )


def _opt(config: Config) -> ModelShape:
    hidden, positions, vocabulary = config["hidden_size"], config["max_position_embeddings"], config["vocab_size"]
    word = config.get("word_embed_proj_dim") or hidden
    # The position table has two more rows than positions.
    outside = vocabulary * word + (positions + 2) * hidden
    outside += 2 * hidden if config.get("do_layer_norm_before", True) else 0  # the final norm
    outside += 2 * word * hidden if word != hidden else 0  # projections from and to the embeddings
    blocks, ffn = config["num_hidden_layers"], config["ffn_dim"]
    others = (4 * hidden + ffn + hidden) + 4 * hidden  # biases, norms
    matrices = (hidden, hidden, 4), (ffn, hidden, 1), (hidden, ffn, 1)
    tables = int(word == hidden)  # else the table has another width
    return _of_blocks(blocks, matrices, others, outside, hidden, ffn, vocabulary, positions, tables)
