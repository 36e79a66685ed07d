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

from core.cli.options import long_form, names, parse_ratios, parse_seeds, parse_settings, parse_tasks
from core.data.cards import TASKS
from core.data.texts import BY_ID
from core.errors import UserError
from core.models.parts.selection import selects
from core.request.complete import complete
from core.request.sweeps import Grid, count, target
from core.specs import Calibration, Fewshot, Perplexity, Task, parse_precision
from tests.attacks.family import Family
from tests.attacks.mutation import mutate, piece
from tests.core.tiny_folder import write_tiny_folder

MOST_RATIOS = 1_001
LINEARS = [(block, f"model.layers.{block}.mlp.up_proj") for block in range(2)]
TEXTS = ("text.txt", "./text.txt", "wikitext2", "c4-sample", "passages-eval", "ptb", *BY_ID)


def _calibration(text: str) -> None:
    parsed = Calibration.parse(text)
    if Calibration.parse(str(parsed)) != parsed:
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
    count(Grid(models=("tiny",), chains=("wanda@",), ratios=ratios))


def _amounts(text: str) -> None:
    for part in names(text, "Patterns"):
        ratio, pattern = target(part)
        if ratio is None:
            complete("./tiny", long_form("magnitude", None, pattern, {}, None))
        else:
            complete("./tiny", long_form("magnitude", ratio, None, {}, None))


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


def parse_value(folder: Path, draw: random.Random, place: Path) -> str | None:
    """Parse one value of one kind of option, damaged or not."""
    os.chdir(folder)
    kind = draw.choice(list(KINDS))
    parse, seeds = KINDS[kind]
    text = draw.choice(seeds) if draw.random() < 0.95 else piece(draw)
    if draw.random() < 0.8:
        text = mutate(text, draw, seeds)
    try:
        parse(text)
    except UserError as error:
        return None if str(error).strip() else f"{kind} {text!r} is refused without a sentence."
    except Exception as error:
        error.add_note(f"{kind} {text[:200]!r}")
        raise
    return None


FAMILIES = (Family("options", 5_000, parse_value, write_tiny_folder, seconds=20.0, memory=1.5),)
