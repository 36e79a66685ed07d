"""The result of a run: one schema in memory, in JSON, in the store and in the bundled files."""

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, NamedTuple

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer, model_validator

from core.amount import Amount
from core.fields import Count, Details, PositiveCount, ProtocolFields, Stages, check_protocol, refuse
from core.metrics import ON_WINDOWS
from core.specs import (
    PUBLISHED,
    Dtype,
    Frozen,
    ModelId,
    Perplexity,
    RatioKind,
    Stage,
    Unchecked,
    VariantSpec,
    canonical_json,
    sha256,
)

SCHEMA = 2
SENSITIVITY = "sensitivity"  # metric of a sensitivity scan
KL, KL_P99, AGREEMENT = "kl", "kl_p99", "agreement"
# Values derived from a variant's stages: written to JSON for other programs and ignored on reading.
COMPUTED = ("method", "ratio", "ratio_kind", "pattern", "recovery", "layers", "details")
CHAIN_OPTIONS = ("chain", "calibration", "train", "seed")  # values that the command line adds
COMPUTED_OF_STAGE = ("name", "text")


class Variant(Frozen):
    """A compressed model: its stages, and the circumstances under which each stage ran."""

    key: str = Field(pattern="^[0-9a-f]{64}$")
    model: str
    revision: str
    dtype: Dtype
    stages: Stages = Field(min_length=1)
    # One entry per stage, possibly empty: seconds, peak_memory (bytes), device, threads, versions, created (ISO 8601,
    # UTC); `training` if it trained; the reported `packed_mb` and `parameters` (millions) of an imported variant.
    stage_runs: tuple[Details, ...] = Field(default=(), validation_alias="made", serialization_alias="made")

    @property
    def model_id(self) -> ModelId:
        return ModelId(self.model, self.revision)

    @property
    def dense_key(self) -> str:
        """The key of the dense model."""
        return _dense_key(self.model, self.revision, self.dtype)

    @property
    def method(self) -> str:
        """The method of the first stage that removes weights or is external; else `dense`."""
        return next((stage.method for stage in self.stages if stage.removes or stage.is_external), "dense")

    @property
    def seeded(self) -> tuple[str, ...]:
        """The methods of the stages that depend on a seed, in order."""
        return tuple(stage.method for stage in self.stages if stage.seed is not None)

    @property
    def is_external(self) -> bool:
        """Whether it is imported or published, so that it cannot be reproduced and its numbers satisfy no run."""
        return self.stages[0].is_external or self.revision == PUBLISHED

    @property
    def ratio(self) -> float | None:
        """The requested ratio of the last removing stage."""
        return self._last.ratio

    @property
    def ratio_kind(self) -> RatioKind:
        return self._last.ratio_kind

    @property
    def amount(self) -> Amount | None:
        """The amount of the last removing stage."""
        return self._last.amount

    @property
    def pattern(self) -> str | None:
        return None if self.amount is None else self.amount.pattern

    @property
    def layers(self) -> str | None:
        """The layers whose weights `ratio` counts."""
        return self._last.layers

    @property
    def recovery(self) -> str | None:
        """The method of the last recovery or reconstruction."""
        return next((stage.method for stage in reversed(self.stages) if stage.recovers), None)

    @property
    def details(self) -> Details:
        """The circumstances of the last stage."""
        return self.stage_runs[-1] if self.stage_runs else {}

    @property
    def training(self) -> tuple[Stage, Details] | None:
        """The last stage that trained, with its training record."""
        pairs = list(zip(self.stages, self.stage_runs, strict=False))
        return next(((stage, one["training"]) for stage, one in reversed(pairs) if "training" in one), None)

    @property
    def cut_short(self) -> bool:
        """Whether a training run was cancelled, so that the variant has its best weights until then."""
        return any(one.get("training", {}).get("ended") == "cancelled" for one in self.stage_runs)

    @property
    def _last(self) -> Stage:
        return next((stage for stage in reversed(self.stages) if stage.removes), self.stages[0])

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, data: Any) -> Any:  # Any: unchecked input
        given = _without((*COMPUTED, *CHAIN_OPTIONS), data)
        if isinstance(given, dict) and isinstance(given.get("stages"), list | tuple):
            given["stages"] = [_without(COMPUTED_OF_STAGE, stage) for stage in given["stages"]]
        return given

    @model_serializer(mode="wrap")
    def _with_computed(self, write: SerializerFunctionWrapHandler) -> Unchecked:
        written = write(self)
        for stage, fields in zip(self.stages, written["stages"], strict=True):
            fields |= {"name": stage.method, "text": str(stage.calibration) if stage.calibration else None}
        return {**written, **{name: getattr(self, name) for name in COMPUTED}}


@lru_cache(maxsize=1024)  # a store has many variants of few models
def _dense_key(model: str, revision: str, dtype: Dtype) -> str:
    stages = (Stage(method="dense"),)
    return VariantSpec(model=model, revision=revision, dtype=dtype, stages=stages).key


def _without(names: tuple[str, ...], data: Any) -> Any:  # Any: unchecked input
    return {name: value for name, value in data.items() if name not in names} if isinstance(data, dict) else data


@dataclass
class Training:
    """Record of a training run."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    ended: Literal["budget", "no improvement", "cancelled"] = "budget"
    best_step: int = 0
    losses: list[list[float]] = field(default_factory=list)  # [step, mean training loss since the last entry]
    held_out: list[list[float]] = field(default_factory=list)  # [step, mean loss per token in nats]

    def as_dict(self) -> dict[str, JsonValue]:
        return asdict(self)


def _absent(value: float | None) -> bool:
    return value is None


class Footprint(Frozen):
    """Memory footprint, counted on the variant itself. Bytes count tied tensors once."""

    block_weights: PositiveCount  # weights in block linears
    block_zeros: Count
    model_parameters: Count
    model_zeros: Count
    dense_parameters: PositiveCount  # of the dense model
    dense_bytes: Count  # every parameter at 16 bits
    packed_bytes: Count  # each matrix in its smallest lossless layout
    bits_per_weight: float  # packed bits of block linears / their weights in the dense model
    dense_block_weights: Count | None = None  # in the dense model; None if no weight was removed from memory
    macs: Count | None = None  # multiply-accumulates of one forward pass over 64 tokens
    # Of a factored embedding: weights of the factors, and of the table before.
    embedding_weights: Count | None = Field(default=None, exclude_if=_absent)
    whole_embedding_weights: PositiveCount | None = Field(default=None, exclude_if=_absent)
    # Weights of the blocks in no linear, which stay dense: here, and in the dense model; absent if there are none.
    uncovered_weights: Count | None = Field(default=None, exclude_if=_absent)
    dense_uncovered_weights: PositiveCount | None = Field(default=None, exclude_if=_absent)

    @property
    def embedding_removed(self) -> float | None:
        """Share of the embedding's weights that factoring removed; None if it is not factored."""
        if self.embedding_weights is None or self.whole_embedding_weights is None:
            return None
        return 1 - self.embedding_weights / self.whole_embedding_weights


class Measurement(Frozen):
    """One number on a variant, of a metric in `core.metrics`.

    A `decode` step generates one token per sequence of the batch. `sensitivity` is the rise of the loss if only one
    part of the model is compressed. `agreement` is the share of tokens in [0, 1] that both models rank first.
    """

    metric: str
    dataset: str  # corpus or task id; `id@sha8` if the text is not in the catalogue
    value: float
    stderr: float | None = None
    # The square of `stderr` as a multiple of that of independent windows; absent for documents.
    inflation: float | None = Field(default=None, gt=0, exclude_if=_absent)
    n: Count  # windows or documents; 0 if a paper does not report it
    protocol: ProtocolFields  # of window, windows, limit, fewshot, version, source, dtype
    origin: Literal["measured", "published", "external"] = "measured"
    details: Details = {}  # seconds, tokens, peak_memory, device, threads, versions, created

    @model_validator(mode="after")
    def _check(self) -> "Measurement":
        check_protocol(self.metric, self.protocol)
        return self

    @property
    def identity(self) -> tuple[str, str, str]:
        """(metric, dataset, protocol), unique per variant; the protocol excludes the source of the text."""
        return self.metric, self.dataset, protocol_ids(*chain.from_iterable(self.protocol.items()))[0]

    @property
    def protocol_id(self) -> str:
        """Eight hex digits of a hash of the protocol in `identity`."""
        return protocol_ids(*chain.from_iterable(self.protocol.items()))[1]

    @property
    def on_windows(self) -> bool:
        """Whether it is measured on the windows of a text."""
        return self.metric in ON_WINDOWS and self.protocol.get("window") is not None

    @property
    def of_text(self) -> bool:
        """Whether it is the perplexity of a text in windows, not of a task such as LAMBADA."""
        return self.metric == "perplexity" and self.on_windows

    @property
    def text(self) -> Perplexity:
        """The windows of a text that it is measured on."""
        known = {name: self.protocol[name] for name in ("window", "windows", "spread") if name in self.protocol}
        return Perplexity(corpus=self.dataset, **known)


@lru_cache(maxsize=4096, typed=True)  # a store has many numbers of few protocols
def protocol_ids(*items: Any) -> tuple[str, str]:  # Any: names and values alternate
    """Return the protocol of `Measurement.identity` and its `protocol_id`, from alternating names and values."""
    pairs = zip(items[::2], items[1::2], strict=True)
    protocol = canonical_json({name: value for name, value in pairs if name != "source"})
    return protocol, sha256(protocol)[:8]


class LayerReport(Frozen):
    """Result of one stage on one linear."""

    name: str  # such as model.layers.0.self_attn.q_proj
    block: Count  # index of the block
    role: str
    shape: tuple[Count, Count]  # (out, in)
    sparsity: float
    # Relative: |(W - W')X|^2 / |WX|^2, or |W - W'|^2 / |W|^2. W is the weight before the stage, or the reference of a
    # reconstruction.
    error: float | None = None
    error_kind: Literal["output", "weight"] = "output"
    bits: int | None = Field(default=None, exclude_if=lambda bits: bits is None)  # per weight, if quantised
    damping: float | None = None
    seconds: float = 0.0
    note: str | None = None  # a remark for readers, such as dead columns or a repeated factorisation
    stage: int = 0  # index of the variant's stage


class Result(Frozen):
    """A variant with its footprint, its numbers and its layer reports."""

    schema_version: int = SCHEMA
    variant: Variant
    footprint: Footprint | None  # None for an external variant
    measurements: tuple[Measurement, ...] = ()
    layers: tuple[LayerReport, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> "Result":
        external, counted = self.variant.is_external, self.footprint is not None
        if external is counted:
            raise refuse("an external variant has a footprint" if counted else "footprint is missing")
        if not all((row.origin != "measured") is external for row in self.measurements):
            raise refuse("the origin of a number differs from that of its variant")
        return self

    @property
    def counted(self) -> Footprint:
        """The footprint of a variant that is not external."""
        if self.footprint is None:
            raise TypeError(f"Variant {self.variant.key} is external and has no footprint.")
        return self.footprint

    @property
    def last_layers(self) -> tuple[LayerReport, ...]:
        """The reports of the last stage with any."""
        last = max((layer.stage for layer in self.layers), default=0)
        return tuple(layer for layer in self.layers if layer.stage == last)

    def measurement(self, wanted: Measurement) -> Measurement | None:
        return next((m for m in self.measurements if m.identity == wanted.identity), None)

    def updated(self, newer: "Result") -> "Result":
        """Merge a newer result of the same variant, whose values replace those of this one."""
        numbers = {measurement.identity: measurement for measurement in (*self.measurements, *newer.measurements)}
        return newer.model_copy(update={"measurements": tuple(numbers.values()), "layers": newer.layers or self.layers})


class LoadedResults(NamedTuple):
    """Results by key, and one warning for each unusable row, line or file."""

    results: dict[str, Result]
    warnings: tuple[str, ...]
