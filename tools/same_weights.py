"""Comparison of two checkouts by the weights and keys of every method: `python -m tools.same_weights OTHER`.

Both checkouts compress the same tiny random models on this machine, one after the other, with one thread. No hash is
stored, since the order of additions, and so the last digits, depends on the processor.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.base.paths import PROJECT
from core.methods.base import Method
from core.methods.kinds import Dense, Reconstruction, TransformMethod
from core.registry import STAGES
from core.training.base import Recovery
from tests.core.contract.ground import RATIO, WINDOW, WINDOWS, Case, instead
from tests.core.tiny_folder import write_tiny_folder

TEXT = f"text.txt:{WINDOWS}x{WINDOW}"
# Runs in each checkout. It only uses the command line, which is stable when names in the code change.
PROGRAM = """
import hashlib, io, json, os, pathlib, sys
from contextlib import redirect_stdout
from core.cli.app import main
made = {}
for chain, command in json.loads(sys.argv[1]).items():
    out = io.StringIO()
    with redirect_stdout(out):
        code = main([*command, "--json"])
    if code == 0:
        key = json.loads(out.getvalue())["variant"]["key"]
        folder = pathlib.Path(os.environ["SLIMSCOPE_CACHE"], "variants", key)
        files = sorted(folder.glob("model*.safetensors"))
        made[chain] = [key, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)]
print(json.dumps(made))
"""


def main(
    other: Annotated[Path, typer.Argument(help="Folder of another checkout of the project.")],
    methods: Annotated[str | None, typer.Option(help="Methods to compare, separated by commas; default: all.")] = None,
) -> None:
    """Compare the weights of tiny compressed models between this checkout and another one."""
    named = None if methods is None else methods.split(",")
    chosen = [stage for stage in STAGES if stage is not Dense and (named is None or stage.name in named)]
    commands = {chain_of(stage): command(stage) for stage in chosen}
    sides = [made_by(checkout.resolve(), commands) for checkout in (PROJECT, other)]
    table = Table(title=f"Weights of {len(commands)} chains on tiny random models, this checkout against the other")
    for column in ("chain", "key", "weights"):
        table.add_column(column)
    rows = [(chain, *_alike(*(side.get(chain) for side in sides))) for chain in commands]
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    if any(cell != "equal" for _, *cells in rows for cell in cells):
        raise typer.Exit(1)


def chain_of(stage: type[Method]) -> str:
    """Return a short chain that applies a method to a tiny model."""
    amount = (instead(stage, RATIO) or f"{RATIO:g}") if stage.takes_amount else None
    settings = "".join(f",{name}={value}" for name, value in Case(stage).all_settings.items())
    written = stage.name + (f"@{amount}" if amount else "") + settings
    if issubclass(stage, Reconstruction | Recovery):
        return f"magnitude@{RATIO:g}+{written}"
    return f"{written}+rtn@4bit,group_size=16" if issubclass(stage, TransformMethod) else written


def command(stage: type[Method]) -> list[str]:
    """Return the command that runs the chain of a method."""
    data = {"nothing": [], "calibration": ["--calibration", TEXT], "training": ["--train", TEXT]}[
        stage().data_requirement
    ]
    return ["run", "./tiny", chain_of(stage), *data, "--perplexity", f"text.txt@{WINDOW}:2"]


def made_by(checkout: Path, commands: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Run commands in a checkout and return the key and the weight hashes of each successful chain."""
    with TemporaryDirectory() as temporary:
        place = write_tiny_folder(Path(temporary))
        known = {name: value for name, value in os.environ.items() if not name.startswith("SLIMSCOPE")}
        known |= {f"SLIMSCOPE_{name}": str(place / name.lower()) for name in ("CACHE", "RESULTS")}
        known |= {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        run = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
        done = subprocess.run(run, cwd=place, env=known, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


def _alike(one: list[str] | None, other: list[str] | None) -> tuple[str, str]:
    """Return the comparison of keys and weights; weights missing from the cache differ."""
    if one is None or other is None:
        return ("not made" if one is None else "not made there",) * 2
    same = len(one) > 1 and one[1:] == other[1:]
    return "equal" if one[0] == other[0] else "differs", "equal" if same else "differs"


if __name__ == "__main__":
    typer.run(main)
