"""The fields of a result that readers rely on, whoever wrote the row, and the sentence for one that is none.

A value is only checked, never changed: what is read is written again byte for byte.
"""

import textwrap
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from core.errors import UserError
from core.specs import IMPORTED, Fewshot, Stage, TextWindows, parse_bits, parse_factor, parse_pattern

MOST = 2**63  # what tables and databases count with
LEAST = {"window": 2, "windows": 1, "limit": 1, "fewshot": 0, "batch": 1}  # numbers of a protocol
PLAIN = (str, int, float, type(None))  # what the values of a protocol are
BATCHED = ("prefill", "decode", "memory")  # metrics that are of a batch

Count = Annotated[int, Field(ge=0, lt=MOST)]
PositiveCount = Annotated[int, Field(ge=1, lt=MOST)]


def fault(error: ValidationError) -> str:
    """Return what is wrong first, such as `footprint.block_weights: input should be a valid integer`, on one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    told = f"{where}: {first['msg']}" if where else first["msg"]
    printable = "".join(sign if sign.isprintable() else " " for sign in told)
    return textwrap.shorten(printable.rstrip("."), 200, placeholder=" ...")


def _read_by(parse: Callable[[str], Any]) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parse(text)
        except UserError as error:
            raise PydanticCustomError("notation", "{reason}", {"reason": str(error)}) from None
        return text

    return AfterValidator(check)


Text = Annotated[str, _read_by(TextWindows.parse)]  # CORPUS:NxL
Pattern = Annotated[str, _read_by(parse_pattern)]  # N:M
Ratio = Annotated[float, Field(ge=0, le=1)]


def _check_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    for stage in stages:
        if stage.ratio is not None and not 0 <= stage.ratio <= 1:
            raise _refuse("a ratio is outside [0, 1]")
        if stage.pattern is not None and parse_bits(stage.pattern) is None and parse_factor(stage.pattern) is None:
            try:
                parse_pattern(stage.pattern)
            except UserError as error:
                raise _refuse(str(error).rstrip(".")) from None
        if stage.seed is not None and not _whole(stage.seed, 0):
            raise _refuse("a seed is no whole number from 0 on")
        if stage.is_external and not isinstance(stage.parameters.get("label"), str):
            raise _refuse("what was made elsewhere has no label")
    if stages[1:] and any(stage.method == IMPORTED for stage in stages):
        raise _refuse("what was imported is one stage")
    return stages


Stages = Annotated[tuple[Stage, ...], AfterValidator(_check_stages)]


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value < MOST and value % 1 == 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("row", "{sentence}", {"sentence": sentence})


def check_protocol(metric: str, protocol: dict[str, Any]) -> None:
    """Raise where a number's protocol does not say what charts and tables tell numbers apart by."""
    for name, value in protocol.items():
        if not isinstance(value, PLAIN):
            raise _refuse(f"protocol.{name} is neither text nor a number")
    _check_plain(metric, *chain.from_iterable(protocol.items()))


@lru_cache(maxsize=4096, typed=True)  # a store has many numbers of few protocols
def _check_plain(metric: str, *items: Any) -> None:
    protocol = dict(zip(items[::2], items[1::2], strict=True))
    for name, value in protocol.items():
        if name in ("dtype", "source") and not isinstance(value, str | None):
            raise _refuse(f"protocol.{name} is no text")
        if name == "fewshot" and isinstance(value, str):
            try:
                Fewshot.parse(value)
            except UserError as error:
                raise _refuse(str(error).rstrip(".")) from None
        elif name in LEAST and value is not None and not _whole(value, LEAST[name]):
            raise _refuse(f"protocol.{name} is no whole number from {LEAST[name]} on")
    if "spread" in protocol and not (protocol["spread"] is True and protocol.get("windows")):
        raise _refuse("protocol.spread is not true, or without a number of windows")
    if metric == "perplexity" and protocol.get("window") is None and protocol.get("fewshot") is None:
        raise _refuse("protocol.window is missing, which the perplexity of a text depends on")
    if metric in BATCHED and protocol.get("batch") is None:
        raise _refuse(f"protocol.batch is missing, which {metric} depends on")


def check_origins(elsewhere: bool, counted: bool, origins: Sequence[str]) -> None:
    """Raise where numbers of elsewhere stand with a variant that was made here, or the other way round."""
    if elsewhere is counted:
        raise _refuse("a variant of elsewhere has a footprint" if counted else "footprint is missing")
    if not all((one != "measured") is elsewhere for one in origins):
        raise _refuse("a number's origin is not that of its variant")


def _check_details(details: dict[str, Any]) -> dict[str, Any]:
    for name in ("device", "created"):
        if not isinstance(details.get(name, ""), str):
            raise _refuse(f"{name} is no text")
    for name in ("seconds", "tokens"):
        value = details.get(name)
        if value is not None and not (_number(value) and 0 <= value < MOST):
            raise _refuse(f"{name} is no number from 0 on")
    if "training" in details:
        _check_training(details["training"])
    return details


def _check_training(training: Any) -> None:
    if not isinstance(training, dict) or not isinstance(training.get("ended"), str):
        raise _refuse("training does not say how it ended")
    for name in ("steps", "tokens", "best_step"):
        if not _whole(training.get(name), 0):
            raise _refuse(f"training.{name} is no whole number from 0 on")
    for name in ("losses", "held_out"):
        pairs = training.get(name)
        if not isinstance(pairs, list | tuple) or not all(map(_pair, pairs)):
            raise _refuse(f"training.{name} is no list of steps and losses")


def _pair(pair: Any) -> bool:
    return isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_number, pair))


Details = Annotated[dict[str, Any], AfterValidator(_check_details)]
