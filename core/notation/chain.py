"""The notation of chains, such as `magnitude@0.5+adaprune+lora,minutes=5`: its parser and its formatter.

A chain is `STAGE+STAGE+...`, and a stage is `NAME[@AMOUNT][,name=value]...`. An amount is a ratio (`0.5`), N:M
(`2:4`), bits per weight (`4bit`) or a factor (`2x`). An open amount (`wanda@+adaprune`) names a series of variants.

`layers`, `text` and `seed` are written like parameters. A chain contains `text` and `seed` only if its stages differ
in them. Otherwise `ChainDefaults` provides them for all stages.

Double quotes enclose a value that contains a space or a sign of the notation. A quote inside them is doubled. A space
between stages counts as `+`, because a pasted link turns `+` into a space.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from core.amount import WHOLE, Amount, Bits, Factor, Pattern, Ratio, bits_or_factor, shortest
from core.base.errors import ChainError, UserError, echo
from core.methods.base import Method
from core.methods.parameters import ShiftedParameters
from core.methods.terms import Reads
from core.models.shape import MOST_UNCOVERED
from core.models.sources import typed_name
from core.registry import data_requirement, get_stage, settings_of
from core.results import Variant
from core.specs import Scalar, Stage, TextWindows, VariantSpec

DENSE = "dense"
MOST_STAGES = 20  # per chain, as the checks of the stage order take time
GIVEN = ("layers", "text", "seed")  # parameters that every stage has
PLAIN = r"[^+,@\"\s]"  # a character without a meaning in the notation
NUMBER = re.compile(r"\d+(\.\d*)?(e-?\d+)?|\.\d+(e-?\d+)?")
AMOUNT = re.compile(rf"({NUMBER.pattern})(bit|x)?|\d+:\d+")


@dataclass(frozen=True)
class StageRequest:
    """A requested stage before defaults are filled in and checked."""

    name: str
    amount: Amount | None = None
    open: bool = False  # whether the amount is missing and a sweep fills it in
    settings: Mapping[str, Scalar] = field(default_factory=dict)  # parameters; their values may be text
    layers: str | None = None
    text: TextWindows | None = None  # None: that of `ChainDefaults`
    seed: int | None = None
    chain: str = ""  # of which it was parsed
    places: Mapping[str, int] = field(default_factory=dict)  # in it: "" is the stage, "@" its amount, a name its value

    @property
    def amount_place(self) -> int:
        """The position of the stage's amount in the chain text."""
        return self.places["@"]

    @contextmanager
    def error_context(self, parameter: str = "") -> Iterator[None]:
        """Add a chain position to a `UserError`: of the stage, its amount (`@`) or the parameter."""
        try:
            yield
        except UserError as error:
            if not self.places:
                raise
            place = self.places.get(parameter, self.places[""])
            raise ChainError(self.chain, place, str(error)) from None


@dataclass(frozen=True)
class ChainDefaults:
    """Data and seed for all stages of a chain; None if no stage uses them, or if stages differ in them."""

    calibration: TextWindows | None = None
    train: TextWindows | None = None
    seed: int | None = None

    def text(self, kind: Reads) -> TextWindows | None:
        """Return the data for stages that read this kind of text."""
        return {"calibration": self.calibration, "training": self.train, "nothing": None}[kind]


def parse(chain: str) -> tuple[StageRequest, ...]:
    """Parse a chain into its stages; a `ChainError` has the position of a fault."""
    found, reader = [], _Reader(chain)
    while True:
        found.append(_stage(reader))
        if reader.ended():
            break
    if len(found) > MOST_STAGES:
        with found[MOST_STAGES].error_context():
            raise UserError(f"The chain has {len(found)} stages; give at most {MOST_STAGES}.")
    for stage in found:
        if stage.name == DENSE and len(found) > 1:
            with stage.error_context():
                raise UserError("Dense is the uncompressed model and cannot be part of a longer chain; leave it out.")
    open_ones = [stage for stage in found if stage.open]
    if len(open_ones) > 1:
        with open_ones[1].error_context("@"):
            raise UserError("A chain can leave only one amount open, and an earlier one is open; fill in one of them.")
    return tuple(found)


class _Reader:
    """A parser that reads a chain from left to right."""

    def __init__(self, chain: str):
        self.chain, self.place = chain, 0

    def take(self, pattern: str) -> str:
        """Return the text that matches here, possibly empty, and move past it."""
        found = re.compile(pattern).match(self.chain, self.place)
        self.place += len(found[0]) if found else 0
        return found[0] if found else ""

    def ended(self) -> bool:
        """Move past the separator of two stages; return True if the chain ends instead."""
        self.take(r"\s+$")
        if self.place == len(self.chain):
            return True
        if not self.take(r"\s*\+\s*|\s+"):
            raise self.fault(f"Unexpected {self.chain[self.place]!r}; expected + or ,name=value.")
        return False

    def value(self) -> str:
        if self.chain.startswith('"', self.place):
            start, quoted = self.place, self.take(r'"([^"]|"")*"')
            if not quoted:
                raise ChainError(self.chain, start, "This double quote is never closed; add the closing one.")
            return quoted[1:-1].replace('""', '"')
        return self.take(f"{PLAIN}*")

    def fault(self, message: str) -> ChainError:
        return ChainError(self.chain, self.place, message)


def _stage(reader: _Reader) -> StageRequest:
    reader.take(r"\s+")
    places = {"": reader.place}
    name = reader.take(rf"(?:(?![=]){PLAIN})+")
    if not name:
        raise reader.fault("A stage is missing here; give one, such as wanda@0.5.")
    stage = StageRequest(name, chain=reader.chain, places=places)
    with stage.error_context():
        if AMOUNT.fullmatch(name):
            raise UserError(f"{name} is an amount, not a stage; write it after its stage and an @, as in wanda@0.5.")
        known = get_stage(name)
    if reader.take("@"):
        places["@"] = reader.place
        with stage.error_context("@"):
            amount = _amount(known, reader.take(f"{PLAIN}*"))
            stage = replace(stage, amount=amount, open=amount is None)
    settings: dict[str, Scalar] = {}
    given: dict[str, Any] = {}  # Any: fields of `StageRequest`
    while reader.take(r"\s*,\s*"):
        place = reader.place
        parameter = reader.take(rf"(?:(?![=]){PLAIN})+")
        if not parameter or not reader.take("="):
            raise ChainError(reader.chain, place, "Expected a parameter NAME=VALUE, such as damping=0.1.")
        if parameter in places:
            raise ChainError(reader.chain, place, f"Parameter {parameter} is given twice.")
        places[parameter] = place
        value = reader.value()
        with stage.error_context(parameter):
            if parameter in GIVEN:
                given[parameter] = _given(known, parameter, value)
            else:
                known.parse_parameters({parameter: value})
                settings[parameter] = value
    return replace(stage, settings=settings, **given)


def _amount(method: type[Method], text: str) -> Amount | None:
    """Parse an amount; None if it is open."""
    if not method.takes_amount:
        raise UserError(f"{method.name} removes nothing, so it takes no amount; write it without the @.")
    if text == "":
        return None
    if method.bit_choices or method.factor_choices:
        return exact_amount(method, text)
    allowed = "a ratio such as 0.5" + (" or N:M such as 2:4" if method.supports_nm else "")
    if ":" in text:
        if not method.supports_nm:
            raise UserError(f"{method.label} does not support N:M sparsity; give a ratio, such as {method.name}@0.5.")
        return Pattern.parse(text)
    if not NUMBER.fullmatch(text):
        raise UserError(f"{echo(text)} is not an amount of {method.name}; give {allowed}.")
    return Ratio(float(text))


def exact_amount(method: type[Method], text: str) -> Amount:
    """Parse N:M, bits or a factor of a method; a `UserError` gives the notation that it needs."""
    if method.bit_choices or method.factor_choices:
        return bits_or_factor_of(method, bits_or_factor(text) or text)
    return Amount.parse_exact(text)


def takes_mean(method: type[Method]) -> bool:
    """Return whether the linears of a method may have different bits, for a requested mean."""
    return bool(method.bit_choices) and issubclass(method.Parameters, ShiftedParameters)


def bits_or_factor_of(method: type[Method], amount: Amount | str) -> Bits | Factor:
    """Return an amount of a method that takes bits or a factor; a `UserError` if the method does not support it."""
    if method.bit_choices:
        *lower, highest = method.bit_choices
        if isinstance(amount, Bits):
            mixed = takes_mean(method) and method.bit_choices[0] < amount.bits < highest
            if mixed or amount.bits in method.bit_choices:
                return amount
        between = ", or a mean between them, such as 3.5bit" if takes_mean(method) else ""
        allowed = f"{', '.join(str(Bits(bits)) for bits in lower)} or {Bits(highest)}{between}"
    else:
        if isinstance(amount, Factor) and amount.factor > 1:
            return amount
        allowed = "a factor above 1, such as 2x or 1.5x"
    raise UserError(f"{echo(str(amount))} is not an amount of {method.name}; give {allowed}.")


def last_amount(stages: Sequence[StageRequest]) -> Amount | None:
    """Return the last amount of a chain; None without any."""
    return next((stage.amount for stage in reversed(stages) if stage.amount is not None), None)


def _given(method: type[Method], name: str, value: str) -> str | int | TextWindows:
    if name == "layers":
        return value
    if method.name == DENSE:
        raise UserError(f"{method.name} has no parameter {echo(name)}; it has no parameters.")
    if name == "text":
        return TextWindows.parse(value)
    if not re.fullmatch(WHOLE, value):
        raise UserError(f"Seed {echo(value)} is not a whole number of at most nine digits, such as 0, 1 or 2.")
    return int(value)


def common_defaults(stages: Sequence[Stage]) -> ChainDefaults:
    """Return the data and the seed that all stages of a chain share."""
    texts: dict[Reads, set[TextWindows | None]] = {"calibration": set(), "training": set(), "nothing": set()}
    for stage in stages:
        texts[data_requirement(stage)].add(stage.calibration)
    calibration, train = (
        found.pop() if len(found) == 1 else None for found in (texts["calibration"], texts["training"])
    )
    seeds = {stage.seed for stage in stages if stage.seed is not None}
    return ChainDefaults(calibration, train, seeds.pop() if len(seeds) == 1 else None)


def run_command(variant: Variant | VariantSpec, made: Variant) -> list[str]:
    """Return the words of `slimscope run` for a variant: model, chain, its defaults, and another dtype than float32.

    `made` is the stored variant, which had the user's consent if many of its block weights are in no linear.
    """
    shared = common_defaults(variant.stages)
    dtype = None if variant.dtype == "float32" else variant.dtype
    texts = {"--calibration": shared.calibration, "--train": shared.train}
    options: dict[str, object] = {**texts, "--seed": shared.seed or None, "--dtype": dtype}
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    consent = ["--partial"] if any((run.get("uncovered") or 0) > MOST_UNCOVERED for run in made.stage_runs) else []
    return ["slimscope", "run", typed_name(variant.model_id), format_chain(variant.stages), *words, *consent]


def format_chain(stages: Sequence[Stage]) -> str:
    """Format stages as a chain; `parse` and the `shared` defaults restore the same stages."""
    return _joined(stages, None)


def series_chain(stages: Sequence[Stage]) -> str:
    """Format a chain with its last amount open, which names all variants that differ only in this amount."""
    return _joined(stages, max((place for place, stage in enumerate(stages) if stage.removes), default=None))


def _joined(stages: Sequence[Stage], left_open: int | None) -> str:
    """Format stages as a chain, with the amount at one place open; dense appears only alone."""
    defaults = common_defaults(stages)
    return "+".join(
        _written(stage, "@" if place == left_open else f"@{stage.amount}" * stage.removes, defaults)
        for place, stage in enumerate(stages)
        if stage.method != DENSE or len(stages) == 1
    )


def file_name(stages: Sequence[Stage]) -> str:
    """Format a chain for a file or folder name: N:M as `2of4`, without characters that file systems reject."""
    return re.sub(r"[^\w@+,.=-]", "-", re.sub(rf"@{WHOLE}:{WHOLE}", r"@\1of\2", format_chain(stages)))[:100]


def _written(stage: Stage, amount: str, defaults: ChainDefaults) -> str:
    parts = {name: plain(value) for name, value in sorted(settings_of(stage).items())}
    if stage.layers is not None:
        parts["layers"] = stage.layers
    if stage.calibration and defaults.text(data_requirement(stage)) is None:
        parts["text"] = str(stage.calibration)
    if stage.seed is not None and defaults.seed is None:
        parts["seed"] = str(stage.seed)
    return "".join([stage.method, amount, *(f",{name}={quoted(value)}" for name, value in parts.items())])


def plain(value: Scalar) -> str:
    """Format a parameter's value for a chain, before quoting."""
    if isinstance(value, bool):
        return str(value).lower()
    return shortest(value) if isinstance(value, float) else str(value)


def quoted(value: str) -> str:
    """Quote a value for a chain if it contains a character with a meaning in the notation."""
    return value if re.fullmatch(f"{PLAIN}+", value) else '"' + value.replace('"', '""') + '"'
