"""What a run asks for, frozen and hashable; and the key that names a variant.

The key of a variant is a chain: key(0) = sha256 of the model, key(k) = sha256(key(k-1), canonical JSON of
stage k). So a prefix of the stages is itself a variant. Parameters at their default are left out, and the
method's version is in. Device, threads and paths never enter.
"""

import hashlib
import json
import re
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from core.errors import UserError, echo, unknown

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
PRECISIONS: dict[str, Dtype] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # as users write them
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # of a number
FormatName = Literal["huggingface", "gguf", "compressed-tensors"]  # of `core.shipping.formats`
ScanUnit = Literal["block", "linear"]  # of a model, that a scan compresses alone
RatioKind = Literal["sparsity", "parameters", "bits", "embedding"]
COUNTED: tuple[RatioKind, ...] = ("sparsity", "parameters")  # kinds of ratios that are shares of block-linear weights
IMPORTED, PUBLISHED = "imported", "published"
UNKNOWN = "unknown"  # a precision or a revision that is not told
UNCHANGED = ("dense", "rotate")  # the stages after which a model computes what it did
EXTERNAL = (IMPORTED, PUBLISHED)  # the stages of variants that were made and measured elsewhere, by whom they are told
MAX_FEWSHOT = 32  # demonstrations before a question
WHOLE = "([0-9]{1,9})"  # a whole number in a notation; Python reads none of thousands of digits


class Frozen(BaseModel):
    # Diverged numbers stay numbers in JSON: Infinity and NaN, as Python reads and writes them.
    # A field whose name is not its key in stored JSON has that key as its alias.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="constants",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def parse_precision(text: str) -> Dtype:
    """Return the dtype that users write as `text`; a `UserError` for another word."""
    if text not in PRECISIONS:
        raise unknown("precision", text, PRECISIONS)
    return PRECISIONS[text]


def precision_name(dtype: Dtype) -> str:
    """Return how users write a dtype."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(*parts: str) -> str:
    """Return the hex digest of the parts, each followed by a newline."""
    return hashlib.sha256("".join(f"{part}\n" for part in parts).encode()).hexdigest()


class TextWindows(Frozen):
    """N windows of L tokens of a corpus, written `CORPUS:NxL`."""

    corpus: str
    windows: int = Field(ge=1)
    window: int = Field(ge=2)

    @classmethod
    def parse(cls, text: str) -> "TextWindows":
        match = re.fullmatch(f"(.+):{WHOLE}x{WHOLE}", text, re.DOTALL)
        if not match or int(match[2]) < 1 or int(match[3]) < 2:
            raise UserError(
                f"Calibration {echo(text)} is not CORPUS:NxL with N >= 1 windows of L >= 2 tokens, "
                "such as c4-sample:16x2048; numbers have at most nine digits."
            )
        return cls(corpus=match[1], windows=int(match[2]), window=int(match[3]))

    def __str__(self) -> str:
        return f"{self.corpus}:{self.windows}x{self.window}"


class Perplexity(Frozen):
    """Perplexity on the first `windows` (None: all) windows of `window` tokens, written `CORPUS@WINDOW[:N[:spread]]`.

    With `spread` the windows lie evenly over the whole text.
    """

    corpus: str
    window: int = Field(ge=2)
    windows: int | None = Field(default=None, ge=1)
    spread: bool = Field(default=False, exclude_if=lambda spread: not spread)  # absent where it always was

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
                f"Perplexity {echo(text)} spreads no number of windows over the text; give one, such as "
                "wikitext2@2048:16:spread."
            )
        windows = int(match[3]) if match[3] else None
        return cls(corpus=match[1], window=int(match[2]), windows=windows, spread=bool(match[4]))

    def __str__(self) -> str:
        written = f"{self.corpus}@{self.window}" + (f":{self.windows}" if self.windows else "")
        return written + ":spread" * self.spread


class Fewshot(Frozen):
    """What stands before a task's question, written `K[,selector=S][,order=O][,template=T]`, defaults left out."""

    k: int = Field(default=0, ge=0, le=MAX_FEWSHOT)  # demonstrations, fewer where so many do not fit
    # Which of the pool: any, the first, those whose questions are most like this one, those that read most likely.
    selector: Literal["random", "first", "nearest", "likely"] = "random"
    order: Literal["drawn", "similar-last"] = "drawn"
    # How they are written: as the harness does; as turns of a chat; after a written instruction, or one that the dense
    # model found; with its reasoning before the answer.
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
            raise UserError(f"Few-shot {echo(text)} has no demonstrations to select or to order; give K from 1 on.")
        return cls.model_validate({"k": int(first), **given})

    @classmethod
    def from_protocol(cls, written: str | int | None) -> "Fewshot":
        """Return what a protocol says."""
        return cls.parse(str(written or 0))

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """Return what each parameter besides the number can be, its default first."""
        return {name: get_args(cls.model_fields[name].annotation) for name in ("selector", "order", "template")}

    def __str__(self) -> str:
        return ",".join([str(self.k), *(f"{name}={value}" for name, value in self.non_defaults.items())])

    @property
    def non_defaults(self) -> dict[str, str]:
        """What is not as by default, besides the number."""
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
    """How much each part matters: the loss where that alone is compressed, on windows that it is not calibrated on."""

    by: ScanUnit = "block"
    text: TextWindows  # calibrated on, and read for the losses
    seed: int = 0  # that its windows are drawn by


def parse_pattern(text: str) -> tuple[int, int]:
    """Return (n kept, m) of `n:m`."""
    match = re.fullmatch(f"{WHOLE}:{WHOLE}", text)
    if not (match and 0 < int(match[1]) < int(match[2])):
        raise UserError(f"Pattern {echo(text)} is not N:M with 0 < N < M (N kept of M), such as 2:4 or 4:8.")
    return int(match[1]), int(match[2])


def parse_bits(text: str) -> float | None:
    """Return the bits a weight of `4bit`, or the mean of `3.5bit`; None of an amount that is written otherwise."""
    match = re.fullmatch(rf"{WHOLE}(\.[0-9]{{0,2}}[1-9])?bit", text)
    if not match:
        return None
    return float(match[1] + match[2]) if match[2] else int(match[1])


def parse_factor(text: str) -> float | None:
    """Return how many times smaller of `2x` or `1.5x`; None of an amount that is written otherwise."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})(\.[0-9]{0,2}[1-9])?x", text)
    return float(match[1] + (match[2] or "")) if match else None


class Stage(Frozen):
    """A method, reconstruction or recovery with its parameters; those at their default are absent from `parameters`."""

    method: str
    version: int = 1
    ratio: float | None = None  # asked share removed; None for dense and recoveries
    ratio_kind: RatioKind = "sparsity"
    # What fixes the ratio: n kept of m, such as 2:4, bits a weight, such as 4bit, or a factor, such as 2x.
    pattern: str | None = None
    parameters: dict[str, Any] = {}
    calibration: TextWindows | None = None  # only where the method reads activations
    seed: int | None = None  # only where the method draws random numbers or reads text
    layers: str | None = None  # first:last or a regular expression; None is every layer

    @property
    def required_ratio(self) -> float:
        """The ratio of a stage that removes something."""
        if self.ratio is None:
            raise TypeError(f"{self.method} removes nothing, so it has no ratio.")
        return self.ratio

    @property
    def required_text(self) -> TextWindows:
        """The calibration of a stage that reads text."""
        if self.calibration is None:
            raise TypeError(f"{self.method} reads no text.")
        return self.calibration

    @property
    def removes(self) -> bool:
        """Whether it is asked to remove anything, even if that is a share of 0."""
        return self.ratio is not None

    @property
    def prunes(self) -> bool:
        """Whether its ratio is a share of block weights that are removed."""
        return self.removes and self.ratio_kind in COUNTED

    @property
    def recovers(self) -> bool:
        """Whether it only makes better what earlier stages left."""
        return not self.removes and self.method not in (*UNCHANGED, IMPORTED)

    @property
    def is_external(self) -> bool:
        """Whether nothing is known of what was done but a label, and perhaps an amount."""
        return self.method in EXTERNAL


class ModelId(NamedTuple):
    """A checkpoint: several may share a name, such as the last folder of their paths, and differ in their revision."""

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
    def prefixes(self) -> tuple["VariantSpec", ...]:
        """The variants of its first stages: of none, which is the model as it is, of one, and so on to the whole."""
        return tuple(self.model_copy(update={"stages": self.stages[:count]}) for count in range(len(self.stages) + 1))


class RunSpec(Frozen):
    """A variant and what to measure on it."""

    variant: VariantSpec
    perplexity: tuple[Perplexity, ...] = ()
    tasks: tuple[Task, ...] = ()
    latency: bool = False
    scan: SensitivityScan | None = None
    scoring: Dtype | None = None  # that the tasks are scored in; None is that which the variant is computed in
    save: str | None = None  # a new folder for the variant
    format: FormatName = "huggingface"  # that it is saved in
    precision: str | None = None  # the type of the saved weights, of those of the format; None is what loses least
    device: str = "cpu"
    force: bool = False

    @property
    def only_scans(self) -> bool:
        """Whether nothing is asked of the variant itself, only of the dense model with one part compressed."""
        return bool(self.scan) and not (self.perplexity or self.tasks or self.latency or self.save or self.force)

    @property
    def scoring_dtype(self) -> Dtype:
        return self.scoring or self.variant.dtype
