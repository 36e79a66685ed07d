"""Command lines over all commands: each ends with exit code 0 or 2, or 1 after a sweep with failed points."""

from __future__ import annotations

import os
import random
import re
import shlex
from pathlib import Path

from core.registry import METHODS
from tests.attacks.ending import bad_end, run_command
from tests.attacks.families.chains import chain_of
from tests.attacks.family import Family
from tests.attacks.machine import Machine, prepare_machine
from tests.attacks.mutation import mutate, piece
from tests.core.imports.given import FILES as LM_EVAL_FILES
from tests.core.imports.given import HEADER, PERPLEXITY

TEXT = ("--calibration", "text.txt:2x32", "--train", "text.txt:4x16", "--perplexity", "text.txt@32:2")
CHAINS = ("magnitude@0.5", "wanda@2:4", "sparsegpt@0.5", "dense", "svd@0.3", "rtn@4bit,group_size=16", "shortgpt@0.5")
OPEN = ("magnitude@", "wanda@+adaprune", "svd@")


def arguments(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    """Return a command line that is valid, or nearly."""
    command = draw.choice(list(COMMANDS))
    return [command, *COMMANDS[command](machine, draw, place)]


def _run(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    extra = (
        *(["--seed", "3"], ["--ratio", "0.4"], ["--pattern", "2:4"], ["--set", "damping=0.1"], ["--layers", "0:0"]),
        *(
            ["--dtype", "float16"],
            ["--device", "cpu"],
            ["--latency"],
            ["--sensitivity", "block"],
            ["--json"],
            ["--force"],
        ),
        *(["--save", "saved"], ["--format", "gguf"], ["--type", "f16"], ["--tasks", "piqa:2"]),
        *(["--fewshot", "2"], ["--eval-dtype", "bf16"]),
    )
    chain = draw.choice(CHAINS) if draw.random() < 0.7 else chain_of(draw)
    some = draw.sample(extra, draw.choice((0, 0, 1, 1, 2)))
    return ["./tiny", chain, *TEXT[: draw.choice((2, 6, 6))], *(word for one in some for word in one)]


def _sweep(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    method = draw.choice(METHODS).name
    what = ["--methods", method] if draw.random() < 0.5 else ["--chain", draw.choice(OPEN)]
    at = draw.choice((["--ratios", "0.5"], ["--ratios", "0.1:0.2:0.1"], ["--patterns", "2:4"], ["--patterns", "4bit"]))
    more = draw.choice(([], [], ["--seeds", "0,1"], ["--tasks-at", "0.5"], ["--out", "out.jsonl"]))
    return ["--models", "./tiny", *what, *at, *TEXT, *more]


def _key(machine: Machine, draw: random.Random) -> str:
    key = draw.choice(machine.keys)
    return key[: draw.choice((7, 8, 12, 64))]


def _format(draw: random.Random) -> list[str]:
    return draw.choice(([], [], ["--csv"], ["--json"], ["--latex"], ["--csv", "--json"]))


def _export(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    more = draw.choice(([], ["--format", "huggingface"], ["--format", "gguf"], ["--type", "f16"]))
    key = machine.keys[0] if draw.random() < 0.7 else "0" * 8  # the bundled ones need their model
    return [key[:12], "exported", *more]


def _laws(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    more = draw.choice(([], ["--keep", "0.9"], ["--metric", "perplexity"], ["--perplexity", "wikitext2@2048:16"]))
    return [*draw.choice(([], ["smollm2-135m"], ["tiny"])), *more, *_format(draw)]


def _import(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    (place / "mine.csv").write_text(f"{HEADER}\n{PERPLEXITY}\n")
    for file in LM_EVAL_FILES:
        (place / file.name).symlink_to(file)
    series = ["--model", "smollm2-135m", "--label", "mine", "--ratio", "0.5"]
    return draw.choice((["mine.csv"], [*(file.name for file in LM_EVAL_FILES), *series], ["mine.csv", *series]))


COMMANDS = {
    "run": _run,
    "sweep": _sweep,
    "export": _export,
    "results": lambda machine, draw, place: _format(draw),
    "compare": lambda machine, draw, place: [
        *(_key(machine, draw) for _ in range(draw.choice((1, 2, 2, 3)))),
        *_format(draw),
    ],
    "laws": _laws,
    "delete": lambda machine, draw, place: [_key(machine, draw)],
    "models": lambda machine, draw, place: [],
    "methods": lambda machine, draw, place: [],
    "fetch": lambda machine, draw, place: draw.choice(([], ["./tiny"], ["smollm2-360m"], ["org/name"])),
    "doctor": lambda machine, draw, place: [],
    "clear": lambda machine, draw, place: [],
    "import": _import,
}


def sendable(word: str) -> str:
    """Return a word as the system hands it over: no NUL, and bytes that are no text as escaped surrogates."""
    return re.sub("[\ud800-\udfff]", "\udcff", word.replace("\0", ""))


def contained(word: str) -> str:
    """Return a word that names no place outside the current folder, so that no try writes there."""
    return re.sub(r"(^|=)([/~])", r"\1.\2", word).replace("..", ".")


LONG = "magnitude@0.5+" * 400
CASES = (  # KEY and LONG stand for the key of the user's variant and for a long chain
    "",
    "export KEY ~/exported",
    "export KEY ~nobody/exported",
    "export KEY .",
    "export KEY text.txt",
    "export '' exported",
    "run ./tiny LONG",
    "run LONG dense",
    "run '' dense",
    "run /dev/zero dense",
    "run ./tiny dense --perplexity /dev/zero@32",
    "run ./tiny dense --save ~/saved",
    "sweep --models ./tiny --chain LONG",
    "sweep --models ./tiny --methods magnitude --ratios 0:1:1e-9",
    "sweep --models ./tiny --methods magnitude --ratios 0.5 --out ~/out.jsonl",
    "results --csv",
    "results --json",
    "results --latex",
    "results --csv --json",
    "compare KEY",
    "compare LONG",
    "compare dense dense",
    "delete ''",
    "delete 00000000",
    "laws \udcff",
    "import ~/x.csv",
    "fetch ../../x",
    "fetch ~/x",
)


def damaged(machine: Machine, draw: random.Random, place: Path) -> list[str]:
    """Return a command line after at most two changes."""
    words = arguments(machine, draw, place)
    for _ in range(draw.choice((0, 1, 1, 1, 2))):
        where = draw.randrange(len(words))
        change = draw.random()
        if change < 0.7:
            words[where] = mutate(words[where], draw, words)
        elif change < 0.8:
            words.insert(where, piece(draw, words))
        elif change < 0.9 and len(words) > 1:
            del words[where]
        else:
            words.append(draw.choice(words))
    return [contained(sendable(word)) for word in words]


def ends_well(given: tuple[Machine, str | None], draw: random.Random, place: Path) -> str | None:
    """Run one command line, damaged or not, on a copy of the results."""
    machine, case = given
    machine.enter(place)
    os.environ["HOME"] = str(place)
    if case is None:
        words = damaged(machine, draw, place)
    else:
        known = {"KEY": machine.keys[0], "LONG": LONG}
        words = [known.get(word, word) for word in shlex.split(case)]
    code, text = run_command(words)
    if long := next((word for word in words if len(word) > 1_000 and word in text), None):
        return f"{words[0]} repeats a word of {len(long):,} characters."
    if case is not None and (place / "~").exists():
        return f"{words} writes to a folder called ~."
    return bad_end(words, code, text)


FAMILIES = (
    Family("commands", 2_500, ends_well, prepare_machine, cases=CASES, fuzzes=True, isolated=True, seconds=180.0),
)
