"""Checks of the result fields that readers rely on, whoever wrote the row, and the messages for invalid ones.

The checks never change a value, so a row that is read is written back byte for byte.
"""

import textwrap
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any, TypeGuard

from pydantic import AfterValidator, Field, JsonValue, ValidationError
from pydantic_core import PydanticCustomError

from core import amount
from core.base.errors import UserError
from core.metrics import ON_WINDOWS, SPEEDS
from core.specs import IMPORTED, Fewshot, Stage, TextWindows, Unchecked

MOST = 2**63  # limit of integers in tables and databases
LEAST = {"window": 2, "windows": 1, "limit": 1, "fewshot": 0, "batch": 1}  # smallest numbers of a protocol
TEXTS = ("device", "created")  # details
SIGNED = ("low", "high", "uncovered", "other_load")  # details that are numbers, of any sign
AMOUNTS = ("seconds", "tokens", *SIGNED)
PLAIN = (str, int, float, type(None))  # types of a protocol's values

ProtocolFields = Unchecked
Count = Annotated[int, Field(ge=0, lt=MOST)]
PositiveCount = Annotated[int, Field(ge=1, lt=MOST)]


def fault(error: ValidationError) -> str:
    """Return the first fault on one line, such as `footprint.block_weights: input should be a valid integer`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    message = f"{where}: {first['msg']}" if where else first["msg"]
    printable = "".join(sign if sign.isprintable() else " " for sign in message)
    return textwrap.shorten(printable.rstrip("."), 200, placeholder=" ...")


def _read_by(parse: Callable[[str], TextWindows | tuple[int, int]]) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except UserError as error:
            raise PydanticCustomError("notation", "{reason}", {"reason": str(error)}) from None
        return text

    return AfterValidator(check)


Text = Annotated[str, _read_by(TextWindows.parse)]  # CORPUS:NxL
WrittenPattern = Annotated[str, _read_by(amount.Pattern.parse)]  # N:M
RatioValue = Annotated[float, Field(ge=0, le=1)]


def _check_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    for stage in stages:
        if stage.ratio is not None and not 0 <= stage.ratio <= 1:
            raise refuse("a ratio is outside [0, 1]")
        if stage.seed is not None and not _whole(stage.seed, 0):
            raise refuse("a seed is not a whole number >= 0")
        if stage.is_external and not isinstance(stage.parameters.get("label"), str):
            raise refuse("an external variant has no label")
    if stages[1:] and any(stage.method == IMPORTED for stage in stages):
        raise refuse("an imported variant has more than one stage")
    return stages


Stages = Annotated[tuple[Stage, ...], AfterValidator(_check_stages)]


def _whole(value: JsonValue, least: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < MOST and value % 1 == 0


def _number(value: JsonValue) -> TypeGuard[float]:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST)


def refuse(sentence: str) -> PydanticCustomError:
    """Return the error of a value that readers cannot use."""
    return PydanticCustomError("row", "{sentence}", {"sentence": sentence})


def check_protocol(metric: str, protocol: ProtocolFields) -> None:
    """Raise if a protocol lacks a value by which charts and tables distinguish numbers."""
    items = tuple(chain.from_iterable(protocol.items()))
    try:
        _check_plain(metric, *items)
    except TypeError:  # a list or an object has no hash
        _check_plain.__wrapped__(metric, *items)


@lru_cache(maxsize=4096, typed=True)  # a store has many numbers of few protocols
def _check_plain(metric: str, *items: Any) -> None:  # Any: names and values alternate
    protocol = dict(zip(items[::2], items[1::2], strict=True))
    for name, value in protocol.items():
        if not isinstance(value, PLAIN):
            raise refuse(f"protocol.{name} is neither text nor a number")
        if name in ("dtype", "source") and not isinstance(value, str | None):
            raise refuse(f"protocol.{name} is not text")
        if name == "fewshot" and isinstance(value, str):
            try:
                Fewshot.parse(value)
            except UserError as error:
                raise refuse(str(error).rstrip(".")) from None
        elif name in LEAST and value is not None and not _whole(value, LEAST[name]):
            raise refuse(f"protocol.{name} is not a whole number >= {LEAST[name]}")
    if "spread" in protocol and not (protocol["spread"] is True and protocol.get("windows")):
        raise refuse("protocol.spread is not true, or protocol.windows is missing")
    without_text = metric == "perplexity" and protocol.get("fewshot") is not None  # of a task, such as LAMBADA
    if metric in ON_WINDOWS and protocol.get("window") is None and not without_text:
        raise refuse(f"protocol.window is missing, on which the {metric} of a text depends")
    if metric in SPEEDS and protocol.get("batch") is None:
        raise refuse(f"protocol.batch is missing, on which {metric} depends")


def _check_details(details: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, value in details.items():
        if name in TEXTS:
            if not isinstance(value, str):
                raise refuse(f"{name} is not text")
        elif name in AMOUNTS and value is not None:
            if not _number(value) or (name not in SIGNED and not 0 <= value < MOST):
                raise refuse(f"{name} is not a number{'' if name in SIGNED else ' >= 0'}")
        elif name == "training":
            _check_training(value)
    return details


def _check_training(training: JsonValue) -> None:
    if not isinstance(training, dict) or not isinstance(training.get("ended"), str):
        raise refuse("training.ended is missing or is not text")
    for name in ("steps", "tokens", "best_step"):
        if not _whole(training.get(name), 0):
            raise refuse(f"training.{name} is not a whole number >= 0")
    for name in ("losses", "held_out"):
        pairs = training.get(name)
        if not isinstance(pairs, list | tuple) or not all(map(_pair, pairs)):
            raise refuse(f"training.{name} is not a list of [step, loss] pairs")


def _pair(pair: JsonValue) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_number, pair))


Details = Annotated[Unchecked, AfterValidator(_check_details)]
