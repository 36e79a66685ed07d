"""`python -m tests.attacks`."""

import signal
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.errors import UserError
from tests.attacks.discover import discover, select
from tests.attacks.outcome import Outcome
from tests.attacks.runner import run_families

ENDED = 128 + signal.SIGTERM
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
progress = Console(stderr=True, highlight=False)


def attack(
    only: Annotated[list[str] | None, typer.Option(metavar="FAMILY", help="Run this family; may be repeated.")] = None,
    tries: Annotated[int | None, typer.Option(min=1, help="Tries of each family, at most.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every try.")] = 0,
    only_try: Annotated[int | None, typer.Option("--try", min=0, help="Run this one try, and show its output.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Families to run at a time.")] = 1,
    show: Annotated[bool, typer.Option("--list", help="List the families and end.")] = False,
) -> None:
    """Attack the program with generated input and injected faults."""
    try:
        families = select(only)
    except UserError as error:
        console.print(str(error), markup=False)
        raise typer.Exit(2) from None
    if show:
        print_families()
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))  # so that all that was started ends, too
    outcomes = []
    for outcome in run_families(families, seed, tries, only_try, jobs):
        outcomes.append(outcome)
        progress.print(f"{outcome.family}: {len(outcome.faults)} faults in {outcome.tries:,} tries", markup=False)
        print_faults(progress, outcome, seed)
    print_outcomes(outcomes, seed)
    if any(outcome.faults for outcome in outcomes):
        raise typer.Exit(1)


def print_families() -> None:
    """Print each family, its number of tries and its needs."""
    table = Table("family", "tries", "needs")
    for family in discover().values():
        table.add_row(family.name, f"{family.tries:,}", family.needs or "")
    console.print(table)


def print_outcomes(outcomes: list[Outcome], seed: int) -> None:
    """Print the table of tries and faults, then each fault with the command that repeats it."""
    table = Table("family", "tries", "faults", "seconds")
    for one in outcomes:
        counts = ("not run", one.not_run, "") if one.not_run else (f"{one.tries:,}", f"{len(one.faults)}")
        table.add_row(one.family, *counts[:2], "" if one.not_run else f"{one.seconds:.0f}")
    console.print(table)
    for one in outcomes:
        print_faults(console, one, seed)


def print_faults(to: Console, outcome: Outcome, seed: int) -> None:
    """Print each fault of a family with the command that repeats it."""
    for fault in outcome.faults:
        repeated = f"--only {outcome.family} --seed {seed}" + ("" if fault.number is None else f" --try {fault.number}")
        to.print(f"{outcome.family}: {fault.sentence}", markup=False, soft_wrap=True)
        to.print(f"  python -m tests.attacks {repeated}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(attack)
