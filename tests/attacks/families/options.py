"""Values of single options: texts, windows, tasks, shots, ratios, patterns, seeds, layers.

Each is parsed and, where it is accepted, completed to a run. A value that is accepted is written and parsed again. The
limit of memory is close to what the program takes by itself, so that no value may ask for much.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.amount import Amount, Ratio
from core.cli.options import long_form, names, parse_ratios, parse_seeds, parse_settings, parse_tasks
from core.data.cards import TASKS
from core.data.texts import BY_ID
from core.errors import UserError
from core.models.parts.selection import selects
from core.request.complete import complete
from core.request.sweeps import Grid, count
from core.specs import Fewshot, Perplexity, Task, TextWindows, parse_precision
from tests.attacks.family import Family
from tests.attacks.mutation import mutate, piece
from tests.core.tiny_folder import write_tiny_folder

MOST_RATIOS = 1_001
LINEARS = [(block, f"model.layers.{block}.mlp.up_proj") for block in range(2)]
TEXTS = ("text.txt", "./text.txt", "wikitext2", "c4-sample", "passages-eval", "ptb", *BY_ID)


def _calibration(text: str) -> None:
    parsed = TextWindows.parse(text)
    if TextWindows.parse(str(parsed)) != parsed:
        raise ValueError(f"it is written as {parsed}, which is another.")
    complete("./tiny", "wanda@0.5", calibration=parsed)


def _perplexity(text: str) -> None:
    parsed = Perplexity.parse(text)
    if Perplexity.parse(str(parsed)) != parsed:
        raise ValueError(f"it is written as {parsed}, which is another.")
    complete("./tiny", "dense", perplexity=[parsed])


def _tasks(text: str) -> None:
    for parsed in parse_tasks(text):
        if Task.parse(str(parsed)) != parsed:
            raise ValueError(f"it is written as {parsed}, which is another.")
        complete("./tiny", "dense", tasks=[parsed])


def _shots(text: str) -> None:
    parsed = Fewshot.parse(text)
    if Fewshot.parse(str(parsed)) != parsed:
        raise ValueError(f"it is written as {parsed}, which is another.")
    complete("./tiny", "dense", tasks=[Task(task="piqa", limit=10, fewshot=parsed)])


def _ratios(text: str) -> None:
    ratios = parse_ratios(text)
    if not (0 < len(ratios) <= MOST_RATIOS and all(0 <= ratio < 1 for ratio in ratios)):
        raise ValueError(f"it gives {len(ratios)} ratios from {min(ratios)} to {max(ratios)}.")
    count(Grid(models=("tiny",), chains=("wanda@",), amounts=tuple(map(Ratio, ratios))))


def _amounts(text: str) -> None:
    for part in names(text, "Patterns"):
        amount = Amount.parse(part)
        if isinstance(amount, Ratio):
            complete("./tiny", long_form("magnitude", amount.value, None, {}, None))
        else:
            complete("./tiny", long_form("magnitude", None, part, {}, None))


def _settings(text: str) -> None:
    complete("./tiny", long_form("sparsegpt@0.5", None, None, parse_settings([text]), None))


def _layers(text: str) -> None:
    selects(text, 2, LINEARS)
    complete("./tiny", long_form("magnitude@0.5", None, None, {}, text))


KINDS: dict[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "calibration": (_calibration, tuple(f"{text}:{n}" for text in TEXTS for n in ("4x32", "1x2", "16x128"))),
    "perplexity": (
        _perplexity,
        tuple(f"{text}@{n}" for text in TEXTS for n in ("32:4", "64", "128:16", "64:8:spread")),
    ),
    "tasks": (_tasks, tuple([*TASKS, "piqa:10,boolq:20", '"piqa"', "mmlu:1", "piqa,piqa:5"])),
    "shots": (_shots, ("0", "4", "32", "4,selector=nearest", "2,selector=first,order=similar-last,template=chat")),
    "ratios": (_ratios, ("0.1:0.7:0.1", "0.5", "0.3,0.5", "0:0.99:0.01", "0:1:0.001", ".1, .2")),
    "amounts": (_amounts, ("2:4", "4:8", "2:4,4:8", "0.5", "4bit", "2x", "1.5x", "3.5bit")),
    "seeds": (parse_seeds, ("0", "0,1,2", "7", "2147483648")),
    "settings": (_settings, ("damping=0.1", "blocksize=128", "allocation=owl", "true_sequential=false")),
    "layers": (_layers, ("0:1", "1:", ":0", "mlp", "(up|down)_proj", r"layers\.0\.", "^model")),
    "precision": (parse_precision, ("fp32", "fp16", "bf16")),
}


ANY = ("", " ", ",", "-1", "nan", "inf", "1e400", "9" * 400, "9" * 5_000, "²", "x" * 5_000, "\ud800", "\x00")
LARGE = {
    "calibration": ("text.txt:999999999x999999999", "text.txt:1x9223372036854775808", "text.txt:²x4"),
    "perplexity": ("text.txt@999999999:999999999", "text.txt@2:9223372036854775808", "text.txt@0", "text.txt@1:1"),
    "tasks": ("piqa:9223372036854775808", "piqa:0", "piqa," * 5_000),
    "shots": ("999999999", "9223372036854775808,selector=nearest"),
    "ratios": (
        "0:1:1e-9",
        "0:1:1e-324",
        "0:1e308:0.1",
        "0.1:0.7:0",
        "0.7:0.1:0.1",
        "0:1:nan",
        "0.9999999",
        "0.5," * 5_000,
    ),
    "amounts": ("²:4", "9223372036854775808:9223372036854775809", "4:2", "999999999bit", "0x", "1e308x"),
    "seeds": ("9223372036854775808", "0," * 5_000, "0:999999999"),
    "settings": ("damping", "damping=nan", "=1", "damping=1=1"),
    "layers": ("(a+)+$", "0:999999999", "[", "(" * 5_000),
    "precision": ("fp64", "float1024"),
}
CASES = tuple((kind, text) for kind in KINDS for text in (*ANY, *LARGE[kind]))


def generated(draw: random.Random) -> tuple[str, str]:
    """Return a kind of option and a value, damaged or not."""
    kind = draw.choice(list(KINDS))
    seeds = KINDS[kind][1]
    text = draw.choice(seeds) if draw.random() < 0.95 else piece(draw)
    return kind, mutate(text, draw, seeds) if draw.random() < 0.8 else text


def parse_value(given: tuple[Path, tuple[str, str] | None], draw: random.Random, place: Path) -> str | None:
    """Parse one value of one kind of option."""
    folder, case = given
    os.chdir(folder)
    kind, text = case or generated(draw)
    try:
        KINDS[kind][0](text)
    except UserError as error:
        return None if str(error).strip() else f"{kind} {text!r} is refused without a sentence."
    except Exception as error:
        error.add_note(f"{kind} {text[:200]!r}")
        raise
    return None


FAMILIES = (
    Family("options", 5_000, parse_value, write_tiny_folder, cases=CASES, fuzzes=True, seconds=20.0, memory=1.5),
)
