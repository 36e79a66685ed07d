"""The command `results`: list results, show one in full, or import an older database."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import UserError
from core.base.memory import no_collection
from core.base.paths import typed_path
from core.cli.groups import DEFAULT, DefaultGroup
from core.cli.listing import OF, check_one_format, find_result, to_latex
from core.cli.naming import matching_names
from core.cli.printing.console import messages
from core.cli.printing.description import describe_result
from core.cli.printing.layout import Row
from core.cli.printing.overview import Headline, others_note, overview, tasks_note
from core.cli.printing.tables import (
    SHORT_NOTE,
    SUMMARY_NOTE,
    Names,
    as_json,
    print_table,
    print_tsv,
    summary,
    warn_few,
)
from core.cli.selection import ORDERS, Selection
from core.models.names import resolve_name
from core.notation.chain import common_defaults
from core.results import Result
from core.store.store import Store
from core.store.transfer.older import import_database

HELP = """List results, bundled ones included, or show one in full.

A MODEL limits the list to its results. A KEY, or its first 8 or more digits, shows one result with all of its numbers
and the command that reproduces it. `results import FILE` adds the results of an older database."""

app = typer.Typer(cls=DefaultGroup, help=HELP, rich_markup_mode=None)


@dataclass(frozen=True)
class Listing:
    """Results to print, with their headline numbers and the display names of models."""

    results: Sequence[Result]
    headline: Headline
    store: Store
    names: Names

    @property
    def references(self) -> list[Result]:
        """Dense models of the results that are not among the results."""
        listed = {result.variant.key for result in self.results}
        wanted = {result.variant.dense_key for result in self.results} - listed
        return list(self.store.get_many(wanted).values())

    def summary(self) -> list[Row]:
        """Return one row per result with one column per number."""
        every = [*self.references, *self.results]
        return summary(every, self.store, self.names)[len(every) - len(self.results) :]


@app.command(DEFAULT, hidden=True, help=HELP)
@no_collection()
def list_results(
    of: Annotated[
        str | None, typer.Argument(metavar="MODEL|KEY", help="A model with results, or the key of a result.")
    ] = None,
    chain: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only chains that contain this text, such as wanda or @2:4.")
    ] = None,
    own: Annotated[bool, typer.Option("--own", help="Only your own results.")] = False,
    sort: Annotated[
        str | None,
        typer.Option(metavar="|".join(ORDERS), help="The best, or smallest, first. Default: the order of storing."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most N rows.")] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="One line per number, with its protocol and difference to dense.")
    ] = False,
    tsv: Annotated[bool, typer.Option("--tsv", help="One line per result, separated by tabs.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON list of full results.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="A booktabs table, one row per variant.")] = False,
) -> None:
    """List results, or show one in full."""
    check_one_format(csv=csv, tsv=tsv, json=json, latex=latex)
    store = Store()
    names = store.model_names()
    models = None if of is None else matching_names(of, names)
    wanted = Selection(models=models, chain=chain, own=own, sort=sort, limit=limit)
    if of is not None and not models:
        result = _by_key(store, of, names, wanted)
        if not (csv or tsv or json or latex):
            dense = store.get(result.variant.dense_key)
            describe_result(result, dense, store, names)
            warn_few([result])
            return
        selected, headline = Selection().of([result], names, ())
    else:
        every = store.results() if json else store.each()  # only JSON has the layers
        selected, headline = wanted.of(every, names, store.local_keys() if own else ())
    listing = Listing(selected, headline, store, names)
    if json:
        typer.echo("[" + ",\n".join(as_json(result) for result in selected) + "]")
    elif csv:
        for piece in _csv(listing):
            typer.echo(piece, nl=False)
    elif not selected:
        filtered = "No result matches; `slimscope results` lists all."
        first = "There are no results yet; `slimscope run smollm2-135m wanda` computes the first."
        messages.print(first if wanted.everything else filtered)
    elif tsv:
        rows = zip(listing.summary(), selected, strict=True)
        print_tsv([{**row, **_circumstances(result)} for row, result in rows])
    elif latex:
        rows_of = [{k: v for k, v in row.items() if k != "key"} for row in listing.summary()]
        typer.echo(to_latex(rows_of, len(OF), SUMMARY_NOTE), nl=False)
    else:
        _print(listing)


@app.command("import")
def import_older(
    file: Annotated[
        Path,
        typer.Argument(metavar="OLD.db", help="A local.db of this program, with its folder `samples` next to it."),
    ],
) -> None:
    """Add the results of an older database; your own numbers and the file do not change."""
    imported = import_database(typed_path(str(file)), Store())
    for warning in imported.warnings:
        messages.print(warning, markup=False)
    messages.print(imported.words(), markup=False)


def _by_key(store: Store, typed: str, names: Names, wanted: Selection) -> Result:
    """Return the result with a typed key; raise `UserError` if the text names neither a result nor a model."""
    if not re.fullmatch("[0-9a-f]{8,64}", typed):
        resolve_name(typed, names)  # its error lists the models
    result = find_result(store, typed)
    if wanted != Selection(models=wanted.models):
        raise UserError("A key names one result; remove --chain, --own, --sort and --limit.")
    return result


def _circumstances(result: Result) -> dict[str, str]:
    """Return the data, seed and precision of a result; empty if there are none."""
    shared = common_defaults(result.variant.stages)
    known = {"calibration": shared.calibration, "train": shared.train, "seed": shared.seed}
    texts = {name: "" if value is None else str(value) for name, value in known.items()}
    return {**texts, "dtype": result.variant.dtype}


def _csv(listing: Listing) -> Iterator[str]:
    from core.findings.numbers.differences import tidy_with_differences
    from core.findings.numbers.sheets import csv_pieces
    from core.findings.seeds import Seeds

    store = listing.store
    seeds = Seeds(store)
    frame = tidy_with_differences([*listing.references, *listing.results], store.samples_of_many(), seeds)
    shown = {result.variant.key: listing.names[result.variant.model_id] for result in listing.results}
    frame = frame[frame["key"].isin(shown.keys())]
    return csv_pieces(frame.assign(model=frame["key"].map(shown)))


def _print(listing: Listing) -> None:
    rows = overview(listing.results, listing.references, listing.headline, listing.store, listing.names)
    notes = (SHORT_NOTE, tasks_note(listing.headline, listing.names), others_note(listing.results, listing.headline))
    note = "\n".join(filter(None, notes))
    print_table(rows, note=note)
    warn_few(listing.headline.shown(result) for result in listing.results)
