"""Chains of stages: parsed, completed, written and parsed again, they keep the key of their variant."""

from __future__ import annotations

import os
import random
from pathlib import Path

from core.errors import UserError
from core.methods.base import Method
from core.notation.chain import default_flags, format_chain, shared
from core.registry import STAGES
from core.request.complete import complete
from core.specs import TextWindows
from tests.attacks.family import Family
from tests.attacks.mutation import NUMBERS, mutate
from tests.core.tiny_folder import write_tiny_folder

CASES = (
    *("", "+", "@", ",", "dense+dense", "magnitude@0.5,layers=" + "(" * 99, "magnitude@0.5+" * 400 + "magnitude@0.5"),
    *("magnitude@0.9999999", "flap@0.9999999", "svd@0.9999999", "shortgpt@0.9999999", "magnitude@²:4", "wanda@٢:٤"),
    *("magnitude@nan", "magnitude@inf", "magnitude@-0.0", "magnitude@1e-324", "wanda@0:4", "wanda@4:4", "wanda@2:0"),
    *(
        "x" * 5_000,
        "magnitude@0." + "9" * 5_000,
        "magnitude@" + "9" * 5_000 + ":4",
        "magnitude@0.5,layers=" + "x" * 5_000,
    ),
    *(
        "sparsegpt@0.5,damping=nan",
        "sparsegpt@0.5,damping=1e400",
        "sparsegpt@0.5,blocksize=0",
        "gptq@4bit,group_size=-1",
    ),
    *("magnitude@0.5+lora,steps=" + "9" * 400, "magnitude@0.5,seed=-1", "magnitude@0.5,\ud800=1", "magnitude@0.5\x00"),
)
TEXTS = ("text.txt:4x32", "text.txt:2x64", "text.txt:1x2")


def amount(draw: random.Random, stage: type[Method]) -> str:
    """Return an amount that the stage takes, or sometimes one that another takes."""
    if not stage.takes_amount and draw.random() < 0.95:
        return ""
    if stage.bit_choices and draw.random() < 0.95:
        return f"@{draw.choice(stage.bit_choices)}bit"
    if stage.factor_choices and draw.random() < 0.95:
        return f"@{draw.choice(stage.factor_choices)}x"
    return f"@{draw.choice(('0.5', '0.25', '0.1', '.7', '2:4', '4:8', '4bit', '2x', '0', '1e-3', ''))}"


def parameter(draw: random.Random, stage: type[Method]) -> str:
    """Return a parameter of the stage with one of its values, or with a number."""
    fields = stage.Parameters.model_fields
    name = draw.choice([*fields, "layers", "text", "seed"])
    if name in fields:
        value = draw.choice([str(fields[name].default).lower(), *NUMBERS[:12], "true", "global", "uniform", "owl"])
    else:
        value = draw.choice({"layers": ("0:1", "1:", "0:0", "mlp"), "text": TEXTS, "seed": ("0", "1", "7")}[name])
    return f",{name}={value}"


def chain_of(draw: random.Random) -> str:
    """Return a chain that is often valid."""
    stages = [draw.choice(STAGES) for _ in range(draw.choice((1, 1, 1, 2, 2, 3)))]
    return "+".join(
        stage.name + amount(draw, stage) + "".join(parameter(draw, stage) for _ in range(draw.choice((0, 0, 0, 1, 2))))
        for stage in stages
    )


def generated(draw: random.Random) -> str:
    """Return a chain, damaged or not."""
    chain = chain_of(draw)
    return mutate(chain, draw, [chain_of(draw), chain_of(draw)]) if draw.random() < 0.6 else chain


def keeps_key(given: tuple[Path, str | None], draw: random.Random, place: Path) -> str | None:
    """Complete a chain; write it, complete it again, and compare the keys."""
    folder, case = given
    os.chdir(folder)
    chain = generated(draw) if case is None else case
    text, seed = TextWindows.parse(draw.choice(TEXTS)), draw.choice((0, 0, 3))
    try:
        first = complete("./tiny", chain, calibration=text, train=text, seed=seed)
    except UserError:
        return None
    stages = first.variant.stages
    again, defaults = format_chain(stages), shared(stages)
    try:
        second = complete(
            "./tiny", again, calibration=defaults.calibration, train=defaults.train, seed=defaults.seed or 0
        )
    except UserError as error:
        return f"{chain!r} is accepted, and written as {again!r} it is refused: {error}"
    if second.variant.key != first.variant.key:
        return f"{chain!r} changes its key once written as {again!r} with {default_flags(defaults)}."
    if format_chain(second.variant.stages) != again:
        return f"{chain!r} is written as {again!r}, and that as {format_chain(second.variant.stages)!r}."
    return None


FAMILIES = (Family("chains", 5_000, keeps_key, write_tiny_folder, cases=CASES, fuzzes=True),)
