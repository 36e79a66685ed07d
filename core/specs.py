"""Specifications of runs, frozen and hashable, and the key of a variant.

The key of a variant is a chain of hashes: key(0) = sha256 of the model, key(k) = sha256(key(k-1), canonical JSON of
stage k). Every prefix of the stages is therefore itself a variant. The key includes the method's version. It excludes
default parameters, device, threads and paths.
"""

import hashlib
import json
import re
from typing import Any, Literal, NamedTuple, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    JsonValue,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_serializer,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from core.amount import WHOLE, Amount, Ratio
from core.base.errors import UserError, echo, unknown

Dtype = Literal["float32", "bfloat16", "float16"]
Unchecked = dict[str, Any]  # Any: pydantic would convert the values to another type
Scalar = str | float | None  # a value of a parameter or a protocol; int and bool count as float
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
PRECISIONS: dict[str, Dtype] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # as in options
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # per number
ScanUnit = Literal["block", "linear"]  # part of a model that a scan compresses alone
RatioKind = Literal["sparsity", "parameters", "bits", "embedding", "runtime"]
COUNTED: tuple[RatioKind, ...] = ("sparsity", "parameters")  # ratios that are shares of block-linear weights
OUTSIDE_BLOCKS: tuple[RatioKind, ...] = ("embedding", "runtime")  # ratios of other numbers than block weights
IMPORTED, PUBLISHED = "imported", "published"
UNKNOWN = "unknown"  # an unreported precision or revision
UNCHANGED = ("dense", "rotate")  # stages that preserve the model's outputs
EXTERNAL = (IMPORTED, PUBLISHED)  # stages of external variants, by their source
MAX_FEWSHOT = 32  # few-shot examples before a question


class Frozen(BaseModel):
    """Base of immutable models that reject unknown fields."""

    # Diverged numbers stay Infinity and NaN in JSON, as Python reads and writes them.
    # A field whose stored JSON key differs from its name has the key as its alias.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="constants",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def parse_precision(text: str) -> Dtype:
    """Parse a precision such as `fp16` into its dtype; a `UserError` for another word."""
    if text not in PRECISIONS:
        raise unknown("precision", text, PRECISIONS)
    return PRECISIONS[text]


def precision_name(dtype: Dtype) -> str:
    """Return the short name of a dtype, such as `fp16`."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)


def canonical_json(value: Any) -> str:  # Any: JSON of any mappings and sequences
    """Format a value as canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(*parts: str) -> str:
    """Return the hex digest of the parts, each followed by a newline."""
    return hashlib.sha256("".join(f"{part}\n" for part in parts).encode()).hexdigest()


class TextWindows(Frozen):
    """N sequences of L tokens of a corpus, written `CORPUS:NxL`."""

    corpus: str
    windows: int = Field(ge=1)
    window: int = Field(ge=2)

    @classmethod
    def parse(cls, text: str) -> "TextWindows":
        match = re.fullmatch(f"(.+):{WHOLE}x{WHOLE}", text, re.DOTALL)
        if not match or int(match[2]) < 1 or int(match[3]) < 2:
            raise UserError(
                f"Data {echo(text)} is not CORPUS:NxL with N >= 1 sequences of L >= 2 tokens, "
                "such as c4-sample:16x2048; numbers have at most nine digits."
            )
        return cls(corpus=match[1], windows=int(match[2]), window=int(match[3]))

    def __str__(self) -> str:
        return f"{self.corpus}:{self.windows}x{self.window}"


class Perplexity(Frozen):
    """Perplexity on the first `windows` (None: all) windows of `window` tokens, written `CORPUS@WINDOW[:N[:spread]]`.

    With `spread`, the windows are evenly spaced over the whole text.
    """

    corpus: str
    window: int = Field(ge=2)
    windows: int | None = Field(default=None, ge=1)
    spread: bool = Field(default=False, exclude_if=lambda spread: not spread)  # absent by default, as in older keys

    @classmethod
    def parse(cls, text: str) -> "Perplexity":
        match = re.fullmatch(f"(.+)@{WHOLE}(?::{WHOLE})?(:spread)?", text, re.DOTALL)
        if not match or int(match[2]) < 2 or (match[3] and int(match[3]) < 1):
            raise UserError(
                f"Perplexity {echo(text)} is not CORPUS@WINDOW[:N[:spread]] with WINDOW >= 2 and N >= 1, such as "
                "wikitext2@2048:16; numbers have at most nine digits."
            )
        if match[4] and not match[3]:
            raise UserError(
                f"Perplexity {echo(text)} lacks the number of windows to spread over the text; give one, such as "
                "wikitext2@2048:16:spread."
            )
        windows = int(match[3]) if match[3] else None
        return cls(corpus=match[1], window=int(match[2]), windows=windows, spread=bool(match[4]))

    def __str__(self) -> str:
        written = f"{self.corpus}@{self.window}" + (f":{self.windows}" if self.windows else "")
        return written + ":spread" * self.spread


class Fewshot(Frozen):
    """Few-shot prompt of a task, written `K[,selector=S][,order=O][,template=T]` without defaults."""

    k: int = Field(default=0, ge=0, le=MAX_FEWSHOT)  # few-shot examples; fewer if they do not fit
    # Choice from the pool: at random, the first, the most similar questions, or the likeliest texts.
    selector: Literal["random", "first", "nearest", "likely"] = "random"
    order: Literal["drawn", "similar-last"] = "drawn"
    # Format: as in the harness; as turns of a chat; after an instruction of the project or of the dense model; with the
    # model's reasoning before the answer.
    template: Literal["plain", "chat", "instruction", "generated", "reasoning"] = "plain"

    @classmethod
    def parse(cls, text: str) -> "Fewshot":
        first, *others = text.split(",")
        given, allowed = dict(part.split("=", 1) for part in others if "=" in part), cls.choices()
        known = all(given[name] in allowed.get(name, ()) for name in given)
        if not (re.fullmatch(WHOLE, first) and int(first) <= MAX_FEWSHOT and known and len(given) == len(others)):
            choices = "".join(f"[,{name}={'|'.join(values)}]" for name, values in allowed.items())
            raise UserError(f"Few-shot {echo(text)} is not K{choices} with K from 0 to {MAX_FEWSHOT}, such as 4.")
        if first.strip("0") == "" and given.keys() & {"selector", "order"}:
            raise UserError(f"Few-shot {echo(text)} has no examples to select or to order; give K >= 1.")
        return cls.model_validate({"k": int(first), **given})

    @classmethod
    def from_protocol(cls, written: str | int | None) -> "Fewshot":
        """Parse the `fewshot` value of a protocol."""
        return cls.parse(str(written or 0))

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """Return the allowed values of each parameter except `k`, its default first."""
        return {name: get_args(cls.model_fields[name].annotation) for name in ("selector", "order", "template")}

    def __str__(self) -> str:
        return ",".join([str(self.k), *(f"{name}={value}" for name, value in self.non_defaults.items())])

    @property
    def non_defaults(self) -> dict[str, str]:
        """The parameters that differ from their defaults, except `k`."""
        return self.model_dump(exclude_defaults=True, exclude={"k"})


ZERO_SHOT = Fewshot()


class Task(Frozen):
    """Accuracy on the first `limit` (None: all) documents of a task, written `TASK[:LIMIT]`, zero-shot by default."""

    task: str
    limit: int | None = Field(default=None, ge=1)
    fewshot: Fewshot = ZERO_SHOT

    @classmethod
    def parse(cls, text: str) -> "Task":
        match = re.fullmatch(f"([^:]+)(?::{WHOLE})?", text)
        if not match or (match[2] and int(match[2]) < 1):
            raise UserError(
                f"Task {echo(text)} is not TASK[:LIMIT] with LIMIT >= 1, such as piqa:100, of at most nine digits."
            )
        return cls(task=match[1], limit=int(match[2]) if match[2] else None)

    def __str__(self) -> str:
        return self.task + (f":{self.limit}" if self.limit else "")


class SensitivityScan(Frozen):
    """Layer sensitivity: the loss if one part alone is compressed, on sequences held out from calibration."""

    by: ScanUnit = "block"
    text: TextWindows  # split into calibration and held-out sequences
    seed: int = 0  # that samples the sequences


class Stage(Frozen):
    """One method, reconstruction or recovery; `parameters` has only the values that differ from defaults."""

    method: str
    version: int = 1
    # Share to remove, which follows from the amount and, for N:M, from earlier stages; None for dense and recoveries.
    ratio: float | None = None
    ratio_kind: RatioKind = "sparsity"
    # The request. In JSON, `pattern` has N:M, bits or a factor; a ratio is only in `ratio`.
    amount: InstanceOf[Amount] | None = Field(
        default=None, validate_default=True, validation_alias="pattern", serialization_alias="pattern"
    )
    parameters: Unchecked = {}
    calibration: TextWindows | None = None  # only if the method reads text
    seed: int | None = None  # only if the method draws random numbers or reads text
    layers: str | None = None  # first:last or a regular expression; None means every layer

    @field_validator("amount", mode="before")
    @classmethod
    def _parse_amount(cls, stored: Amount | JsonValue, info: ValidationInfo) -> Amount | None:
        ratio = info.data.get("ratio")
        if isinstance(stored, Ratio) and stored.value != ratio:
            raise ValueError("the amount is a ratio, and `ratio` differs from it")
        if isinstance(stored, Amount):
            return stored
        if not isinstance(stored, str | None):
            raise PydanticKnownError("string_type")
        try:
            return Amount.from_columns(ratio, stored)
        except UserError as error:
            raise PydanticCustomError("notation", "{reason}", {"reason": str(error)}) from None

    @field_serializer("amount")
    def _pattern(self, amount: Amount | None) -> str | None:
        return None if amount is None else amount.pattern

    @model_serializer(mode="wrap")
    def _without_ratio(self, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> Unchecked:
        stored: Unchecked = write(self)
        if info.exclude_none and isinstance(self.amount, Ratio):  # it is not None, but its `pattern` is
            del stored["pattern"]
        return stored

    @property
    def required_ratio(self) -> float:
        """The ratio of a removing stage."""
        if self.ratio is None:
            raise TypeError(f"{self.method} removes nothing, so it has no ratio.")
        return self.ratio

    @property
    def required_text(self) -> TextWindows:
        """The calibration or training data of a stage that reads text."""
        if self.calibration is None:
            raise TypeError(f"{self.method} reads no text.")
        return self.calibration

    @property
    def removes(self) -> bool:
        """Whether it has a ratio, even if that is 0."""
        return self.ratio is not None

    @property
    def prunes(self) -> bool:
        """Whether its ratio counts removed block weights."""
        return self.removes and self.ratio_kind in COUNTED

    @property
    def recovers(self) -> bool:
        """Whether it improves a compressed model without removing weights."""
        return not self.removes and self.ratio_kind != "runtime" and self.method not in (*UNCHANGED, IMPORTED)

    @property
    def is_external(self) -> bool:
        """Whether it represents an imported or published variant, with only a label and perhaps an amount."""
        return self.method in EXTERNAL


class ModelId(NamedTuple):
    """A checkpoint. Several may share a name, such as the last folder of a path, but differ in their revision."""

    name: str
    revision: str


class VariantSpec(Frozen):
    """A model and the stages that compress it."""

    model: str
    revision: str
    dtype: Dtype = "float32"
    stages: tuple[Stage, ...] = Field(min_length=1)

    @property
    def model_id(self) -> ModelId:
        return ModelId(self.model, self.revision)

    @property
    def key(self) -> str:
        key = sha256(canonical_json({"model": self.model, "revision": self.revision, "dtype": self.dtype}))
        for stage in self.stages:
            if stage.method != "dense":
                key = sha256(key, canonical_json(stage.model_dump(exclude_none=True)))
        return key

    @property
    def is_dense(self) -> bool:
        """Whether no stage changes the model."""
        return all(stage.method == "dense" for stage in self.stages)

    @property
    def prefixes(self) -> tuple["VariantSpec", ...]:
        """The variants of its first 0, 1, ... stages, from the dense model to the whole chain."""
        return tuple(self.model_copy(update={"stages": self.stages[:count]}) for count in range(len(self.stages) + 1))


class RunSpec(Frozen):
    """A variant and the measurements to run on it."""

    variant: VariantSpec
    perplexity: tuple[Perplexity, ...] = ()
    tasks: tuple[Task, ...] = ()
    # Whether to compare with the dense model on each text of `perplexity`; absent by default, as in older jobs.
    fidelity: bool = Field(default=False, exclude_if=lambda fidelity: not fidelity)
    # Whether a number needs its samples, because a comparison pairs them; absent by default, as in older jobs.
    paired: bool = Field(default=False, exclude_if=lambda paired: not paired)
    latency: bool = False
    scan: SensitivityScan | None = None
    scoring: Dtype | None = None  # evaluation precision of tasks; None: the variant's
    save: str | None = None  # a new folder in which the variant is saved
    format: str = "huggingface"  # of the saved variant, a name in `core.shipping.formats`
    precision: str | None = None  # type of the saved weights; None: the format's most precise
    # Whether the cache of variants must have the variant; absent by default, as in older jobs.
    cached: bool = Field(default=False, exclude_if=lambda cached: not cached)
    # Bytes of memory that the run may take; absent by default, as in older jobs.
    memory: int | None = Field(default=None, ge=1, exclude_if=lambda memory: memory is None)
    # Threads that the run computes with; None: as many as its machine or its executor gives it.
    threads: int | None = Field(default=None, ge=1, exclude_if=lambda threads: threads is None)
    device: str = "cpu"
    force: bool = False

    @property
    def only_scans(self) -> bool:
        """Whether the run only scans, so that the variant itself is not needed."""
        others = (self.perplexity, self.tasks, self.latency, self.save, self.cached, self.force)
        return bool(self.scan) and not any(others)

    @property
    def scoring_dtype(self) -> Dtype:
        return self.scoring or self.variant.dtype
