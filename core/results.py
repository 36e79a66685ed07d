"""What a run gives: the one shape of a result, in memory, in JSON, in the store and in the shipped files."""

from typing import Any, Literal

from core.specs import Frozen, RatioKind, canonical_json

SCHEMA = 1


class StageInfo(Frozen):
    name: str
    parameters: dict[str, Any] = {}
    text: str | None = None  # CORPUS:NxL that it reads, or is trained on
    seed: int | None = None


class Variant(Frozen):
    key: str
    model: str
    revision: str
    dtype: str
    method: str  # name of the first stage
    ratio: float | None = None  # asked
    ratio_kind: RatioKind = "sparsity"
    pattern: str | None = None
    recovery: str | None = None  # name of the recovery stage
    stages: tuple[StageInfo, ...]
    calibration: str | None = None  # CORPUS:NxL
    seed: int | None = None
    layers: str | None = None
    # seconds, peak_memory (bytes), device, versions, created (ISO 8601, UTC); `training` where a stage recovers
    details: dict[str, Any] = {}

    @property
    def cut_short(self) -> bool:
        """Whether its training was cancelled, so that this is only the best that it had come to."""
        return self.details.get("training", {}).get("ended") == "cancelled"


class Footprint(Frozen):
    """Counted on the variant itself. Bytes count tied tensors once."""

    block_weights: int  # weights in block linears
    block_zeros: int
    model_parameters: int
    model_zeros: int
    dense_parameters: int  # of the uncompressed model
    dense_bytes: int  # every parameter at 16 bits
    packed_bytes: int  # each matrix in its smallest valid layout
    bits_per_weight: float  # packed bits of block linears / their weights in the uncompressed model
    dense_block_weights: int | None = None  # in the uncompressed model; None where no weight was removed from memory
    macs: int | None = None  # multiply-accumulates of one forward over 64 tokens

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
    n: int  # windows or documents
    protocol: dict[str, Any]  # window, windows, limit, fewshot, version, source, dtype as they apply
    origin: Literal["measured", "published", "external"] = "measured"
    details: dict[str, Any] = {}  # seconds, tokens, peak_memory, device, threads, versions, created

    @property
    def identity(self) -> tuple[str, str, str]:
        """(metric, dataset, protocol), unique on a variant; which text counts, not where it came from."""
        protocol = {name: value for name, value in self.protocol.items() if name != "source"}
        return self.metric, self.dataset, canonical_json(protocol)


class LayerReport(Frozen):
    name: str  # such as model.layers.0.self_attn.q_proj
    block: int
    role: str
    shape: tuple[int, int]  # (out, in)
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
