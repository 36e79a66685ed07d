"""What a run gives: the one shape of a result, in memory, in JSON, in the store and in the shipped files."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from core.fields import Count, Details, Pattern, Some, Text, check_protocol
from core.specs import Dtype, Frozen, RatioKind, canonical_json

SCHEMA = 1

Ratio = Annotated[float, Field(ge=0, le=1)]


class StageInfo(Frozen):
    name: str
    parameters: dict[str, Any] = {}
    text: Text | None = None  # CORPUS:NxL that it reads, or is trained on
    seed: Count | None = None


class Variant(Frozen):
    key: str = Field(pattern="^[0-9a-f]{64}$")
    model: str
    revision: str
    dtype: Dtype
    method: str  # name of the first stage
    ratio: Ratio | None = None  # asked
    ratio_kind: RatioKind = "sparsity"
    pattern: Pattern | None = None
    recovery: str | None = None  # name of the recovery stage
    stages: tuple[StageInfo, ...] = Field(min_length=1)
    calibration: Text | None = None
    seed: Count | None = None
    layers: str | None = None
    # seconds, peak_memory (bytes), device, versions, created (ISO 8601, UTC); `training` where a stage recovers
    details: Details = {}

    @property
    def cut_short(self) -> bool:
        """Whether its training was cancelled, so that this is only the best that it had come to."""
        return self.details.get("training", {}).get("ended") == "cancelled"


class Footprint(Frozen):
    """Counted on the variant itself. Bytes count tied tensors once."""

    block_weights: Some  # weights in block linears
    block_zeros: Count
    model_parameters: Count
    model_zeros: Count
    dense_parameters: Some  # of the uncompressed model
    dense_bytes: Count  # every parameter at 16 bits
    packed_bytes: Count  # each matrix in its smallest valid layout
    bits_per_weight: float  # packed bits of block linears / their weights in the uncompressed model
    dense_block_weights: Count | None = None  # in the uncompressed model; None where no weight was removed from memory
    macs: Count | None = None  # multiply-accumulates of one forward over 64 tokens

    @property
    def block_removed(self) -> float:
        """Share of the uncompressed model's block weights that is zero or gone."""
        return 1 - (self.block_weights - self.block_zeros) / (self.dense_block_weights or self.block_weights)

    @property
    def model_removed(self) -> float:
        """Share of the uncompressed model's parameters that is zero or gone."""
        return 1 - (self.model_parameters - self.model_zeros) / self.dense_parameters


class Measurement(Frozen):
    """One number on a variant.

    `perplexity`; `acc`, `acc_norm` in [0, 1]; `prefill` in ms a token, `decode` in ms a step, which
    gives each sequence of the batch a token; `memory` in MB.
    """

    metric: str
    dataset: str  # corpus or task id; `id@sha8` where the text is not the catalogue's
    value: float
    stderr: float | None = None
    n: Count  # windows or documents
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
        protocol = {name: value for name, value in self.protocol.items() if name != "source"}
        return self.metric, self.dataset, canonical_json(protocol)

    @property
    def of_text(self) -> bool:
        """Whether it is the perplexity of a text in windows; tasks such as LAMBADA have one of their own."""
        return self.metric == "perplexity" and self.protocol.get("window") is not None


class LayerReport(Frozen):
    name: str  # such as model.layers.0.self_attn.q_proj
    block: Count
    role: str
    shape: tuple[Count, Count]  # (out, in)
    sparsity: float
    error: float | None = None  # relative: |(W - W')X|^2 / |WX|^2, or |W - W'|^2 / |W|^2
    error_kind: Literal["output", "weight"] = "output"
    damping: float | None = None
    seconds: float = 0.0
    note: str | None = None  # anything a reader must know: dead columns, a factorisation that had to be repeated


class Result(Frozen):
    schema_version: int = SCHEMA
    variant: Variant
    footprint: Footprint
    measurements: tuple[Measurement, ...] = ()
    layers: tuple[LayerReport, ...] = ()

    def measurement(self, wanted: Measurement) -> Measurement | None:
        return next((m for m in self.measurements if m.identity == wanted.identity), None)

    def updated(self, newer: "Result") -> "Result":
        """Return this result with all of a newer one of the same variant; numbers that only this one has are kept."""
        numbers = {measurement.identity: measurement for measurement in (*self.measurements, *newer.measurements)}
        return newer.model_copy(
            update={"measurements": tuple(numbers.values()), "layers": newer.layers or self.layers},
        )


class Rows(NamedTuple):
    """What was read: results by key, and a sentence for each row, line or file that cannot be used."""

    results: dict[str, Result]
    warnings: tuple[str, ...]
