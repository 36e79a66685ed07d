"""The typer application; a failed command prints one sentence and returns an exit code."""

import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from rich.logging import RichHandler
from typer.exceptions import TyperException

from core.base.errors import CancelledError, UserError, out_of_memory, short
from core.cli import (
    autopilot,
    best,
    cluster,
    compare,
    compute,
    dashboard,
    fidelity,
    importing,
    laws,
    listing,
    options,
    results,
)
from core.cli.printing.console import messages
from core.cli.printing.failures import BAD_INPUT, FAILED, INTERRUPTED, disk_full, explain_cut_files, sentence
from core.cli.upkeep import commands as upkeep
from core.cli.upkeep import jobs

app = typer.Typer(
    help="Compress language models, and measure their quality, size and speed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
RENAMING = {"token_normalize_func": options.current_flag}
for command in (
    *(best.best, listing.inspect, compute.run, compute.sweep, autopilot.autopilot, compute.export),
    *(compare.compare, fidelity.fidelity, laws.laws, listing.delete, listing.models, listing.methods),
    *(dashboard.dashboard, upkeep.fetch, upkeep.doctor, upkeep.clear),
):
    app.command(context_settings=RENAMING)(command)
app.command("import", help=importing.HELP, context_settings=RENAMING)(importing.import_files)
app.add_typer(results.app, name="results")
app.add_typer(jobs.app, name="jobs")
app.add_typer(upkeep.store, name="store")
app.add_typer(cluster.app, name="cluster")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slimscope {version('slimscope')}")
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    The code is 2 for bad input, a full disk or too little memory, 130 after an interruption, and 1 for other failures.
    """
    # Threads that spin while they wait slow other processes on a small machine tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(variable, "1")  # bars of other libraries would interrupt ours
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=messages, show_time=False, show_path=False)],
    )
    explain_cut_files()
    try:
        code = app(arguments, standalone_mode=False) or 0
    except CancelledError:
        code = INTERRUPTED
    except TyperException as error:
        words = error.format_message().split(" ")
        messages.print(" ".join(map(short, words)), markup=False)
        return BAD_INPUT
    except Exception as error:
        messages.print(sentence(error), markup=False)
        return BAD_INPUT if isinstance(error, UserError) or disk_full(error) or out_of_memory(error) else FAILED
    if code == INTERRUPTED:
        messages.print("Stopped. Finished measurements are stored, and the same command resumes after them.")
    return code
