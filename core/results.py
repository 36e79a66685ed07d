"""What a run gives: the one shape of a result, in memory, in JSON, in the store and in the shipped files."""

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, NamedTuple

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from core.fields import Count, Details, PositiveCount, Stages, check_origins, check_protocol
from core.specs import PUBLISHED, Dtype, Frozen, ModelId, RatioKind, Stage, VariantSpec, canonical_json, sha256

SCHEMA = 2
SENSITIVITY = "sensitivity"  # the metric of what a scan finds of each part
CONVOLUTION = "convolution"  # the role of a layer that is no linear
# What follows from a variant's stages: written to JSON, for programs that read it, and ignored on reading.
COMPUTED = ("method", "ratio", "ratio_kind", "pattern", "recovery", "layers", "details")
CHAIN_OPTIONS = ("chain", "calibration", "train", "seed")  # what the command line writes beside them
COMPUTED_OF_STAGE = ("name", "text")


class Variant(Frozen):
    """A compressed model: the stages that make it, and the circumstances that each was made under."""

    key: str = Field(pattern="^[0-9a-f]{64}$")
    model: str
    revision: str
    dtype: Dtype
    stages: Stages = Field(min_length=1)
    # One entry a stage: seconds, peak_memory (bytes), device, threads, versions, created (ISO 8601, UTC); `training`
    # where it trained; `packed_mb` and `parameters` (millions) as they are told of an imported one. An entry is empty
    # where nothing is known.
    stage_runs: tuple[Details, ...] = Field(default=(), validation_alias="made", serialization_alias="made")

    @property
    def model_id(self) -> ModelId:
        return ModelId(self.model, self.revision)

    @property
    def dense_key(self) -> str:
        """The key of the model as it was before the first stage."""
        before = VariantSpec(
            model=self.model, revision=self.revision, dtype=self.dtype, stages=(Stage(method="dense"),)
        )
        return before.key

    @property
    def method(self) -> str:
        """The name of the first stage that removes anything, or was done elsewhere; else that of the model as it is."""
        return next((stage.method for stage in self.stages if stage.removes or stage.is_external), "dense")

    @property
    def is_external(self) -> bool:
        """Whether it was made and measured elsewhere: nothing of it can be made, or answers a run, here."""
        return self.stages[0].is_external or self.revision == PUBLISHED

    @property
    def ratio(self) -> float | None:
        """What the last stage that removes anything was asked for."""
        return self._last.ratio

    @property
    def ratio_kind(self) -> RatioKind:
        return self._last.ratio_kind

    @property
    def pattern(self) -> str | None:
        return self._last.pattern

    @property
    def layers(self) -> str | None:
        """The layers that `ratio` is a share of."""
        return self._last.layers

    @property
    def recovery(self) -> str | None:
        """The name of the last stage that made better what others left: a recovery, or a reconstruction."""
        return next((stage.method for stage in reversed(self.stages) if stage.recovers), None)

    @property
    def details(self) -> dict[str, Any]:
        """The circumstances of the last stage."""
        return self.stage_runs[-1] if self.stage_runs else {}

    @property
    def training(self) -> tuple[Stage, dict[str, Any]] | None:
        """The last stage that trained, and how that went."""
        pairs = list(zip(self.stages, self.stage_runs, strict=False))
        return next(((stage, one["training"]) for stage, one in reversed(pairs) if "training" in one), None)

    @property
    def cut_short(self) -> bool:
        """Whether a training was cancelled, so that this is only the best that it had come to."""
        return any(one.get("training", {}).get("ended") == "cancelled" for one in self.stage_runs)

    @property
    def _last(self) -> Stage:
        return next((stage for stage in reversed(self.stages) if stage.removes), self.stages[0])

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, data: Any) -> Any:
        given = _without((*COMPUTED, *CHAIN_OPTIONS), data)
        if isinstance(given, dict) and isinstance(given.get("stages"), list | tuple):
            given["stages"] = [_without(COMPUTED_OF_STAGE, stage) for stage in given["stages"]]
        return given

    @model_serializer(mode="wrap")
    def _with_computed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = write(self)
        for stage, told in zip(self.stages, written["stages"], strict=True):
            told |= {"name": stage.method, "text": str(stage.calibration) if stage.calibration else None}
        return written | {name: getattr(self, name) for name in COMPUTED}


def _without(names: tuple[str, ...], data: Any) -> Any:
    return {name: value for name, value in data.items() if name not in names} if isinstance(data, dict) else data


@dataclass
class Training:
    """What a training did, in plain numbers."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    ended: Literal["budget", "no improvement", "cancelled"] = "budget"
    best_step: int = 0
    losses: list[list[float]] = field(default_factory=list)  # [step, mean training loss since the last one]
    held_out: list[list[float]] = field(default_factory=list)  # [step, mean loss a token], nats

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _absent(value: Any) -> bool:
    return value is None


class Footprint(Frozen):
    """Counted on the variant itself. Bytes count tied tensors once.

    Of a model that is no language model the convolutions stand in the place of the block linears.
    """

    block_weights: PositiveCount  # weights in block linears
    block_zeros: Count
    model_parameters: Count
    model_zeros: Count
    dense_parameters: PositiveCount  # of the uncompressed model
    dense_bytes: Count  # every parameter at 16 bits
    packed_bytes: Count  # each matrix in its smallest valid layout
    bits_per_weight: float  # packed bits of block linears / their weights in the uncompressed model
    dense_block_weights: Count | None = None  # in the uncompressed model; None where no weight was removed from memory
    macs: Count | None = None  # multiply-accumulates of one forward over 64 tokens
    # Of an embedding in factors: what these have, and what the table had before.
    embedding_weights: Count | None = Field(default=None, exclude_if=_absent)
    whole_embedding_weights: PositiveCount | None = Field(default=None, exclude_if=_absent)

    @property
    def block_removed(self) -> float:
        """Share of the uncompressed model's block weights that is zero or gone."""
        return 1 - (self.block_weights - self.block_zeros) / (self.dense_block_weights or self.block_weights)

    @property
    def embedding_removed(self) -> float | None:
        """Share of the embedding's weights that its factors lack; None where it is in none."""
        if self.embedding_weights is None or self.whole_embedding_weights is None:
            return None
        return 1 - self.embedding_weights / self.whole_embedding_weights

    @property
    def model_removed(self) -> float:
        """Share of the uncompressed model's parameters that is zero or gone."""
        return 1 - (self.model_parameters - self.model_zeros) / self.dense_parameters


class Measurement(Frozen):
    """One number on a variant.

    `perplexity`; `acc`, `acc_norm` in [0, 1]; `prefill` in ms a token, `decode` in ms a step, which
    gives each sequence of the batch a token; `memory` in MB; `sensitivity`, by how many nats a token the loss rises
    where one part of the model alone is compressed.
    """

    metric: str
    dataset: str  # corpus or task id; `id@sha8` where the text is not the catalogue's
    value: float
    stderr: float | None = None
    # How many times larger the square of `stderr` is than that of as many independent windows; absent of documents.
    inflation: float | None = Field(default=None, exclude_if=_absent)
    n: Count  # windows or documents; 0 where a paper does not say how many
    protocol: dict[str, Any]  # window, windows, limit, fewshot, version, source, dtype as they apply
    origin: Literal["measured", "published", "external"] = "measured"
    details: Details = {}  # seconds, tokens, peak_memory, device, threads, versions, created

    @model_validator(mode="after")
    def _check(self) -> "Measurement":
        check_protocol(self.metric, self.protocol)
        return self

    @property
    def identity(self) -> tuple[str, str, str]:
        """(metric, dataset, protocol), unique on a variant; which text counts, not where it came from."""
        return self.metric, self.dataset, _told(*chain.from_iterable(self.protocol.items()))[0]

    @property
    def protocol_id(self) -> str:
        """Eight digits that are equal where the protocols of `identity` are."""
        return _told(*chain.from_iterable(self.protocol.items()))[1]

    @property
    def of_text(self) -> bool:
        """Whether it is the perplexity of a text in windows; tasks such as LAMBADA have one of their own."""
        return self.metric == "perplexity" and self.protocol.get("window") is not None


@lru_cache(maxsize=4096, typed=True)  # a store has many numbers of few protocols
def _told(*items: Any) -> tuple[str, str]:
    """Return the protocol of `Measurement.identity` and its `protocol_id`, from names and values in turn."""
    pairs = zip(items[::2], items[1::2], strict=True)
    protocol = canonical_json({name: value for name, value in pairs if name != "source"})
    return protocol, sha256(protocol)[:8]


class LayerReport(Frozen):
    name: str  # such as model.layers.0.self_attn.q_proj
    block: Count  # of a convolution its place among all
    role: str
    shape: tuple[Count, Count]  # (out, in); of a convolution a column an input and a position of its kernel
    sparsity: float
    # Relative: |(W - W')X|^2 / |WX|^2, or |W - W'|^2 / |W|^2; W is the weight before the stage, or, where that is a
    # reconstruction, its reference.
    error: float | None = None
    error_kind: Literal["output", "weight"] = "output"
    bits: int | None = Field(default=None, exclude_if=lambda bits: bits is None)  # a weight, of one that is rounded
    damping: float | None = None
    seconds: float = 0.0
    note: str | None = None  # anything a reader must know: dead columns, a factorisation that had to be repeated
    stage: int = 0  # which of the variant's stages left it so


class Result(Frozen):
    schema_version: int = SCHEMA
    variant: Variant
    footprint: Footprint | None  # None of a variant that was made elsewhere, of which nothing could be counted
    measurements: tuple[Measurement, ...] = ()
    layers: tuple[LayerReport, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "Result":
        origins = [row.origin for row in self.measurements]
        check_origins(self.variant.is_external, self.footprint is not None, origins)
        return self

    @property
    def counted(self) -> Footprint:
        """The footprint of a variant that was made here."""
        if self.footprint is None:
            raise TypeError(f"Nothing was counted of {self.variant.key}, which was made elsewhere.")
        return self.footprint

    @property
    def of_convolutions(self) -> bool:
        """Whether what was compressed are convolutions, of a model that is no language model."""
        return any(layer.role == CONVOLUTION for layer in self.layers)

    @property
    def last_layers(self) -> tuple[LayerReport, ...]:
        """The reports of the last stage that has some."""
        last = max((layer.stage for layer in self.layers), default=0)
        return tuple(layer for layer in self.layers if layer.stage == last)

    def measurement(self, wanted: Measurement) -> Measurement | None:
        return next((m for m in self.measurements if m.identity == wanted.identity), None)

    def updated(self, newer: "Result") -> "Result":
        """Return this result with all of a newer one of the same variant; numbers that only this one has are kept."""
        numbers = {measurement.identity: measurement for measurement in (*self.measurements, *newer.measurements)}
        return newer.model_copy(
            update={"measurements": tuple(numbers.values()), "layers": newer.layers or self.layers},
        )


class LoadedResults(NamedTuple):
    """What was read: results by key, and a sentence for each row, line or file that cannot be used."""

    results: dict[str, Result]
    warnings: tuple[str, ...]
