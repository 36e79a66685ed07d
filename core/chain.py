"""A chain of stages as people write it, `magnitude@0.5+adaprune+lora,minutes=5`: read and written in this one place.

A chain is `STAGE+STAGE+...`, a stage `NAME[@AMOUNT][,name=value]...`, an amount a ratio (`0.5`), a pattern (`2:4`),
bits a weight (`4bit`) or how many times smaller (`2x`).
An amount left open (`wanda@+adaprune`) names a series of variants. `layers`, `text` and `seed` are written like
parameters; text and seed only where stages differ in them, as they are otherwise given beside the chain, to all. A
value that holds a sign of the notation or a space stands in double quotes, a quote in it twice. A space between stages
is read as the `+` that it was before a link was pasted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import ChainError, UserError, echo
from core.methods.base import Method
from core.methods.terms import Reads
from core.registry import data_requirement, get_stage, settings_of
from core.specs import WHOLE, Stage, TextWindows, parse_bits, parse_factor, parse_pattern

DENSE = "dense"
MOST_STAGES = 20  # of a chain; the checks of whether each may follow the others take their time
GIVEN = ("layers", "text", "seed")  # written like parameters, and of every method
PLAIN = r"[^+,@\"\s]"  # a sign that means nothing in the notation
NUMBER = re.compile(r"\d+(\.\d*)?(e-?\d+)?|\.\d+(e-?\d+)?")


@dataclass(frozen=True)
class StageRequest:
    """A stage as it is asked for, before what it leaves open is filled in and checked."""

    name: str
    ratio: float | None = None
    pattern: str | None = None
    open: bool = False  # whether an amount is still to be filled in
    settings: Mapping[str, Any] = field(default_factory=dict)  # parameters; values may be text
    layers: str | None = None
    text: TextWindows | None = None  # None is that which is given beside the chain
    seed: int | None = None
    written: ChainSource | None = None  # where it stands, for messages

    def with_amount(self, ratio: float | None, pattern: str | None) -> StageRequest:
        """Return the stage with its open amount filled in."""
        return replace(self, ratio=ratio, pattern=pattern, open=False)

    @property
    def amount_place(self) -> int:
        """Where in the written chain the amount of a stage stands that has one."""
        if self.written is None:
            raise TypeError(f"{self.name} was not read of a written chain.")
        return self.written.places["@"]

    @contextmanager
    def error_context(self, what: str = "") -> Iterator[None]:
        """Say in a `UserError` where in the written chain the stage stands, or its amount `@` or parameter `what`."""
        try:
            yield
        except UserError as error:
            raise (self.written.fault(what, error) if self.written else error) from None


@dataclass(frozen=True)
class ChainSource:
    """Where the parts of a stage stand in the text of its chain."""

    chain: str
    places: Mapping[str, int]  # of the stage under "", its amount under "@" and its parameters, by name

    def fault(self, what: str, error: UserError) -> ChainError:
        return ChainError(self.chain, self.places.get(what, self.places[""]), str(error))


@dataclass(frozen=True)
class ChainDefaults:
    """What is given beside a chain to all its stages that read it; None where none does, or they differ in it."""

    calibration: TextWindows | None = None
    train: TextWindows | None = None
    seed: int | None = None

    def text(self, kind: Reads) -> TextWindows | None:
        """Return the text for stages that read of this kind."""
        return {"calibration": self.calibration, "training": self.train, "nothing": None}[kind]


def parse(chain: str) -> tuple[StageRequest, ...]:
    """Return the stages of a written chain.

    Raises `ChainError` with the character at which something is wrong.
    """
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
                raise UserError("Dense is the model as it is and stands alone; leave it out of a chain.")
    open_ones = [stage for stage in found if stage.open]
    if len(open_ones) > 1:
        with open_ones[1].error_context("@"):
            raise UserError("One amount of a chain can be left open, and an earlier one is already.")
    return tuple(found)


class _Reader:
    """Reads a chain from left to right."""

    def __init__(self, chain: str):
        self.chain, self.place = chain, 0

    def take(self, pattern: str) -> str:
        """Return what matches here, which may be nothing, and go behind it."""
        found = re.compile(pattern).match(self.chain, self.place)
        self.place += len(found[0]) if found else 0
        return found[0] if found else ""

    def ended(self) -> bool:
        """Go behind what separates two stages; return whether the chain has ended instead."""
        self.take(r"\s+$")
        if self.place == len(self.chain):
            return True
        if not self.take(r"\s*\+\s*|\s+"):
            raise self.fault(
                f"Sign {self.chain[self.place]!r} cannot stand here, where a stage ends or a parameter follows."
            )
        return False

    def value(self) -> str:
        if self.chain.startswith('"', self.place):
            start, quoted = self.place, self.take(r'"([^"]|"")*"')
            if not quoted:
                raise ChainError(self.chain, start, "This double quote is never closed.")
            return quoted[1:-1].replace('""', '"')
        return self.take(f"{PLAIN}*")

    def fault(self, message: str) -> ChainError:
        return ChainError(self.chain, self.place, message)


def _stage(reader: _Reader) -> StageRequest:
    reader.take(r"\s+")
    places = {"": reader.place}
    name = reader.take(rf"(?:(?![=]){PLAIN})+")
    if not name:
        raise reader.fault("A stage is missing here, such as wanda@0.5.")
    stage = StageRequest(name, written=ChainSource(reader.chain, places))
    with stage.error_context():
        known = get_stage(name)
    if reader.take("@"):
        places["@"] = reader.place
        with stage.error_context("@"):
            stage = replace(stage, **_amount(known, reader.take(f"{PLAIN}*")))
    settings: dict[str, Any] = {}
    given: dict[str, Any] = {}
    while reader.take(r"\s*,\s*"):
        place = reader.place
        parameter = reader.take(rf"(?:(?![=]){PLAIN})+")
        if not parameter or not reader.take("="):
            raise ChainError(reader.chain, place, "A parameter is written NAME=VALUE, such as damping=0.1.")
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


def _amount(method: type[Method], text: str) -> dict[str, Any]:
    if not method.takes_amount:
        raise UserError(f"{method.name} removes nothing, so it takes no amount; write it without the @.")
    if text == "":
        return {"open": True}
    if method.bit_choices:
        bits_of(method, text)
        return {"pattern": text}
    if method.factor_choices:
        factor_of(method, text)
        return {"pattern": text}
    allowed = "a ratio such as 0.5" + (" or a pattern such as 2:4" if method.supports_nm else "")
    if ":" in text:
        if not method.supports_nm:
            raise UserError(f"{method.label} has no N:M patterns; give a ratio, such as {method.name}@0.5.")
        parse_pattern(text)
        return {"pattern": text}
    if not NUMBER.fullmatch(text):
        raise UserError(f"{echo(text)} is no amount of {method.name}, which takes {allowed}.")
    return {"ratio": float(text)}


def bits_of(method: type[Method], text: str) -> float:
    """Return the bits a weight of an amount; a `UserError` where a method does not round to so many."""
    found = parse_bits(text)
    mixed = method.mixed_precision and found is not None and method.bit_choices[0] < found < method.bit_choices[-1]
    if found is None or not (mixed or found in method.bit_choices):
        *most, last = (f"{bits}bit" for bits in method.bit_choices)
        between = ", and means between, such as 3.5bit" if method.mixed_precision else ""
        raise UserError(
            f"{echo(text)} is no amount of {method.name}, which takes {', '.join(most)} or {last}{between}."
        )
    return found


def factor_of(method: type[Method], text: str) -> float:
    """Return how many times smaller of an amount; a `UserError` where it says no such thing."""
    found = parse_factor(text)
    if found is None or found <= 1:
        raise UserError(
            f"{echo(text)} is no amount of {method.name}, which takes a factor above 1, such as 2x or 1.5x."
        )
    return found


def _given(method: type[Method], name: str, value: str) -> Any:
    if name == "layers":
        return value
    if method.name == DENSE:
        raise UserError(f"{method.name} has no parameter {echo(name)}; it has no parameters.")
    if name == "text":
        return TextWindows.parse(value)
    if not re.fullmatch(WHOLE, value):
        raise UserError(f"Seed {echo(value)} is no whole number, such as 0, 1 or 2, of at most nine digits.")
    return int(value)


def shared(stages: Sequence[Stage]) -> ChainDefaults:
    """Return what is given beside the chain of these stages."""
    read = [(data_requirement(stage), stage.calibration) for stage in stages]

    def one(kind: str) -> TextWindows | None:
        texts = {text for reads, text in read if reads == kind}
        return texts.pop() if len(texts) == 1 else None

    seeds = {stage.seed for stage in stages if stage.seed is not None}
    return ChainDefaults(one("calibration"), one("training"), seeds.pop() if len(seeds) == 1 else None)


def default_flags(beside: ChainDefaults) -> list[str]:
    """Return what is given beside a chain, as options of the command line."""
    texts = {"--calibration": beside.calibration, "--train": beside.train, "--seed": beside.seed or None}
    return [word for option, value in texts.items() if value is not None for word in (option, str(value))]


def format_chain(stages: Sequence[Stage]) -> str:
    """Return the chain of stages, `parse` of which, completed with what is `shared`, gives the same stages."""
    return _joined(stages, None)


def series_chain(stages: Sequence[Stage]) -> str:
    """Return the chain with its last amount left open: the name of all variants that differ in that one."""
    return _joined(stages, max((place for place, stage in enumerate(stages) if stage.removes), default=None))


def _joined(stages: Sequence[Stage], left_open: int | None) -> str:
    """Return the chain of stages, with the amount at one place left open; dense is not named beside others."""
    beside = shared(stages)
    return "+".join(
        _written(stage, "@" if place == left_open else _amount_of(stage), beside)
        for place, stage in enumerate(stages)
        if stage.method != DENSE or len(stages) == 1
    )


def file_name(stages: Sequence[Stage]) -> str:
    """Return the chain as part of the name of a file or folder: patterns as `2of4`, and no sign that systems refuse."""
    return re.sub(r"[^\w@+,.=-]", "-", re.sub(rf"@{WHOLE}:{WHOLE}", r"@\1of\2", format_chain(stages)))[:100]


def _amount_of(stage: Stage) -> str:
    if not stage.removes:
        return ""
    return f"@{stage.pattern}" if stage.pattern else f"@{_number(stage.required_ratio)}"


def _written(stage: Stage, amount: str, beside: ChainDefaults) -> str:
    parts = {name: plain(value) for name, value in sorted(settings_of(stage).items())}
    if stage.layers is not None:
        parts["layers"] = stage.layers
    if stage.calibration and beside.text(data_requirement(stage)) is None:
        parts["text"] = str(stage.calibration)
    if stage.seed is not None and beside.seed is None:
        parts["seed"] = str(stage.seed)
    return "".join([stage.method, amount, *(f",{name}={quoted(value)}" for name, value in parts.items())])


def plain(value: Any) -> str:
    """Return a parameter's value as a chain has it, before quoting."""
    if isinstance(value, bool):
        return str(value).lower()
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """Return a number with as few digits as give it again."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def quoted(value: str) -> str:
    """Return a value as a chain has it: in double quotes where it holds a sign that means something else."""
    return value if re.fullmatch(f"{PLAIN}+", value) else '"' + value.replace('"', '""') + '"'
