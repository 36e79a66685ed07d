"""Write `docs/architectures.md`: `python -m tools.architectures.page`, or print it for some architectures."""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Annotated

import typer

from core.base.paths import PROJECT
from tools.architectures.models import ARCHITECTURES
from tools.architectures.trial import CHAINS, Trial, try_architecture

PAGE = PROJECT / "docs" / "architectures.md"
HEAD = """# Architectures

`python -m tools.architectures.page` writes this page. It saves a tiny random model of each architecture of
transformers and loads the folder as `slimscope run` does. It compresses the model by a chain of each family. Then it
saves the compressed model, loads it again and compares the logits.

The column "covered" is the share of block weights that are in linears. The others, such as convolutions, recurrences
and routers, stay dense. A model with less than 90 % needs `--partial`. "yes" means that the family works; a number
refers to the reason below. Methods of one family work on the same architectures.

"""
TRIED = "The columns were tried with {chains}."


def cells(trial: Trial, reasons: dict[str, int]) -> list[str]:
    """Return the cells of a row; a new reason gets the next number in `reasons`."""
    outcomes = [
        "yes" if reason is None else str(reasons.setdefault(reason, len(reasons) + 1))
        for reason in trial.refusals.values()
    ]
    return [f"`{trial.architecture}`", f"{100 * trial.covered:.1f} %", *outcomes]


def page(trials: Sequence[Trial]) -> str:
    """Return the page in Markdown."""
    reasons: dict[str, int] = {}
    rows = [f"| {' | '.join(cells(trial, reasons))} |" for trial in trials]
    columns = ["architecture", "covered", *CHAINS]
    table = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns), *rows, ""]
    chains = ", ".join(f"`{one}`" for one in chain.from_iterable(CHAINS.values()))
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return HEAD + "\n".join([*table, TRIED.format(chains=chains), "", "## Reasons", "", *notes, ""])


def reasons_on(text: str) -> dict[str, int]:
    """Return the numbers of the reasons on the page."""
    return {match[2]: int(match[1]) for match in re.finditer(r"^(\d+)\. (.+)$", text, re.MULTILINE)}


def main(architectures: Annotated[list[str] | None, typer.Argument(help="Print these alone.")] = None) -> None:
    """Write the page, or print it for some architectures."""
    text = page([try_architecture(architecture) for architecture in architectures or ARCHITECTURES])
    if architectures:
        print(text)
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
