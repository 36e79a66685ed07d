"""The command `autopilot`: the best chain within a budget of size and time."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from core.base.errors import UserError, check_above, echo
from core.cli import options
from core.cli.printing.console import bars, messages, say
from core.cli.printing.tables import SHORT_KEY, print_table
from core.notation.formatting import format_duration, format_number
from core.shipping.formats import FORMATS
from core.store.store import Store

if TYPE_CHECKING:
    from core.results import Variant
    from core.search.autopilot import Progressed
    from core.search.certificate import Certificate
    from core.search.question import Prepared
    from core.search.trials import Chosen
    from core.shipping.base import Format

SIZE = "The most megabytes, of 10^6 bytes: of the file in the format of --only, or else of packed size."


def megabytes(text: str) -> float:
    """Return a number of megabytes; raise `UserError` for text that has a unit or is no number."""
    try:
        return float(text)
    except ValueError:
        raise UserError(f"--max-mb {echo(text)} is no number; give the megabytes without a unit, such as 90.") from None


def autopilot(
    model: Annotated[str, typer.Argument(help="Catalogue id (see `models`), folder, or Hugging Face id.")],
    max_mb: Annotated[float, typer.Option(metavar="MB", parser=megabytes, help=SIZE)],
    minutes: Annotated[float, typer.Option(help="Minutes of all searches with the same question.")] = 60.0,
    only: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Only chains that fit this export format, such as gguf.")
    ] = None,
    methods: Annotated[str | None, typer.Option(metavar="X,Y", help="Only these methods.")] = None,
    no_training: Annotated[bool, typer.Option("--no-training", help="No stage that trains.")] = False,
    no_structured: Annotated[
        bool, typer.Option("--no-structured", help="No stage that removes heads, channels or blocks.")
    ] = False,
    device: options.Device = "cpu",
) -> None:
    """Search the best chain within a budget; the same command resumes a stopped search."""
    from core.search.question import Question, opening, prepare
    from core.search.session import conduct
    from core.search.space import Restrictions
    from core.search.studies import import_studies

    for value, name in ((max_mb, "--max-mb"), (minutes, "--minutes")):
        check_above(value, 0, f"{name} {value:g} is not a number", 90)
    restrictions = Restrictions(
        training=not no_training,
        structured=not no_structured,
        methods=options.names(methods, "Methods") if methods else (),
        only=only,
    )
    question = Question(model=model, max_mb=max_mb, minutes=minutes, restrictions=restrictions, device=device)
    store = Store()
    prepared = prepare(question, store)
    say(opening(prepared))
    try:
        import_studies(store)
    except UserError as error:  # the search itself needs none of them
        messages.print(str(error), markup=False)
    with bars() as progress:
        found = conduct(prepared, store, progress, _print_step, _print_start)
    _print_certificate(prepared, found, store)


def _print_start(chain: str, chosen: Chosen) -> None:
    messages.print(f"The first trial measures {chain} and takes {format_duration(chosen.seconds)}.", markup=False)


def _print_step(step: Progressed) -> None:
    from core.search.trials import times_dense

    left = f"{format_duration(step.seconds_left)} left, then {format_duration(step.judgement_seconds)} to judge"
    words = f"{step.trial.chain}: {step.trial.problem}"
    if one := step.trial.outcome:
        size, ratio = f"{one.bytes / 1e6:.1f} MB", times_dense(one.loss)
        windows = f"{one.windows} windows" + (", eliminated" if one.eliminated else "")
        best = ", the best so far" if step.best == one else ""
        words = f"{step.count}: {one.chain}, {size}, x {ratio:.4g} on {windows}{best}"
    messages.print(f"{words} ({left})", markup=False)


def _print_certificate(prepared: Prepared, found: Certificate, store: Store) -> None:
    """Print the winner, what it is compared with, and how to make it again.

    Raises:
        UserError: There is no winner, as no chain within the budget was measured. Stored variants that fit are printed.
    """
    from core.search.certificate import NOTE

    if not found.fits:
        if found.stored:
            print_table(_cells(one.row(found.size_title) for one in found.stored), "Stored variants that fit", NOTE)
        failure = found.failure(prepared.question.budget)
        raise UserError(failure if found.exhausted else f"{failure} Give more minutes.")
    print_table(_cells(found.table()), "Judgement", found.note())
    winner = found.rows[0]
    chain = quote(winner.chain)
    say(f"To save it: slimscope run {quote(prepared.question.model)} {chain} --save FOLDER")
    if form := _program(prepared, store.stored(winner.key).variant):
        say(f"To export it: slimscope export {winner.key[:SHORT_KEY]} FOLDER --format {form.name}")


def _program(prepared: Prepared, winner: Variant) -> Format | None:
    """Return the export format for another program that the winner fits, that of the question first."""
    only = prepared.question.restrictions.only
    for form in sorted(FORMATS[1:], key=lambda form: form.name != only):
        with suppress(UserError):
            form.check(winner, prepared.source)
            return form
    return None


def _cells(rows: Iterable[dict[str, str | float | None]]) -> list[dict[str, str]]:
    return [{name: _cell(one) for name, one in row.items()} for row in rows]


def _cell(one: str | float | None) -> str:
    if one is None:
        return ""
    return one if isinstance(one, str) else format_number(one)
