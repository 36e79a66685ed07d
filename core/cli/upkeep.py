"""The commands that look after this machine: `fetch`, `doctor`."""

from typing import Annotated

import typer

from core.cli.console import bars, output
from core.cli.tables import print_table
from core.errors import UserError
from core.models import terms
from core.models.sources import awaited_terms


def fetch(
    model: Annotated[str | None, typer.Argument(help="A model, by its id; what a first run needs by default.")] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Say yes to the terms of the model, having read them.")
    ] = False,
) -> None:
    """Get the default model, tasks and texts, or one model, before going offline."""
    from core.cli.fetch import fetch as fetch_defaults
    from core.cli.fetch import fetch_one

    if model is None and accept_terms:
        raise UserError("--accept-terms is of one model; name it, such as `fetch gemma3-270m`.")
    if model is not None:
        _agree(model, accept_terms)
    with bars() as progress:
        fetched = fetch_defaults(progress) if model is None else [fetch_one(model, progress)]
    print_table([{"name": row.name, "from": row.source, "problem": row.problem or ""} for row in fetched])


def _agree(model: str, accepted: bool) -> None:
    """Show the terms of a model that has some and ask for a yes, once; a `UserError` where that is not given."""
    wanted = awaited_terms(model)
    if wanted is None:
        return
    if accepted:
        terms.remember(model, True)
        return
    again = f"`slimscope fetch {model} --accept-terms` says yes to them; they are at {wanted.url}"
    if terms.answer(model) is False:
        raise UserError(f"You said no to the {wanted.name}, so {model} is not fetched. {again}.")
    with bars() as progress:
        text = terms.terms_text(wanted, progress)
    output.print(text, markup=False)
    try:
        agreed = typer.confirm(f"\nDo you agree to the {wanted.name}, which {model} is under?")
    except typer.Abort:
        raise UserError(f"Nothing was answered, so {model} is not fetched. {again}.") from None
    terms.remember(model, agreed)
    if not agreed:
        raise UserError(f"{model} is not fetched, and you are asked no more. {again}.")


def doctor() -> None:
    """Show what is installed, reachable and cached."""
    from core.cli.doctor import report

    print_table([{"what": c.group, "name": c.name, "ok": "yes" if c.ok else "no", "": c.detail} for c in report()])
