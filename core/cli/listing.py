"""The commands `delete`, `models`, `methods` and `inspect`, and the lookup of results by their keys."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from core.base.errors import UserError, echo
from core.base.paths import PLUG_IN_GUIDE
from core.cli import options
from core.cli.printing.console import messages, output, say
from core.cli.printing.description import families, planned_rows, sweep_command
from core.cli.printing.layout import Row
from core.cli.printing.tables import SHORT_KEY, print_table
from core.findings.numbers import latex as tex
from core.methods.fields import parameter_rows
from core.models.catalogue import MODELS
from core.models.shape import MOST_UNCOVERED
from core.models.sources import identify
from core.notation.short import name_with_model
from core.registry import STAGES, get_stage
from core.request.inspection import applicability, facts_of, first_chains, inspect_model
from core.request.settings import RunSettings
from core.request.sweeps import Grid, expand_grid
from core.results import Result
from core.store.store import Store

OF = ("model", "chain", "seed")  # columns of `summary` that identify a row


def check_one_format(**formats: bool) -> None:
    """Raise `UserError` if more than one of the named formats is chosen."""
    if sum(formats.values()) > 1:
        *most, last = (f"--{name}" for name in formats)
        raise UserError(f"Choose one of {', '.join(most)} and {last}.")


def to_latex(rows: Sequence[Row], first: int = 1, note: str = "") -> str:
    """Return rows as booktabs tables in LaTeX, each no wider than a page.

    Every table repeats the `first` columns, which identify a row, and omits rows that are empty in its other columns.
    The note follows the last table.
    """
    names = list(rows[0])
    cells = [[tex.in_lines(text) for text in row.values()] for row in rows]
    tables: list[list[str]] = []
    here: list[int] = []
    for place in range(first, len(names)):
        wider = _part(names, cells, first, [*here, place])
        if here and tex.letters(wider, tex.PAGE) is None:
            tables.append(_part(names, cells, first, here))
            here = []
        here.append(place)
    tables.append(_part(names, cells, first, here))
    under = rf"\par\smallskip{{\footnotesize {tex.escaped(note)}}}" + "\n" if note else ""
    return "\n".join(_set(table) for table in tables) + under


def _part(names: Sequence[str], cells: Sequence[Sequence[str]], first: int, places: Sequence[int]) -> list[str]:
    """Return the lines of a table with the first columns and the columns at `places`."""
    every = [*range(first), *places]
    rows = [[row[place] for place in every] for row in cells if any(row[place] for place in places)]
    return tex.headed([names[place] for place in every], rows, "l" * len(every))


def _set(table: Sequence[str]) -> str:
    columns = "l" * (table[0].count(" & ") + 1)
    lines = tex.tabular(table, columns, tex.letters(table, tex.PAGE) or tex.SMALLEST)
    return "{" + "\n".join(lines) + "}\n"


def delete(
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY...", help="Keys of your own results, or their first 8 or more digits."),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without a question.")] = False,
) -> None:
    """Delete your own results with all their numbers, after a question; if one cannot be deleted, delete none."""
    store = Store()
    found = list(dict.fromkeys(find_key(store, key) for key in keys))
    doomed = ", and ".join(_own_numbers(store, key, count) for key, count in store.own_counts(*found).items())
    if not yes and not (sys.stdin.isatty() and messages.is_terminal):
        raise UserError(f"This deletes {doomed}; add --yes to agree.")
    if not yes and not _confirmed(f"Delete {doomed}?"):
        messages.print("Nothing is deleted.")
        return
    store.delete(*found)
    messages.print(f"Deleted {doomed}.", markup=False)


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl+C
        return False


def _own_numbers(store: Store, key: str, count: int) -> str:
    """Return how many of the user's own numbers a variant has, in words."""
    result = store.get(key)
    name = "an unreadable row"
    if result:
        name = name_with_model(result.variant, store.model_names()[result.variant.model_id])
    return f"{count} of your own numbers of {name} ({key[:SHORT_KEY]})"


def find_result(store: Store, key: str) -> Result:
    """Return the result whose key begins with `key`; raise `UserError` unless exactly one is readable."""
    found = find_key(store, key)
    result = store.get(found)
    if result is None:
        raise UserError(f"The result {found[:SHORT_KEY]} cannot be read; run it again, or delete it.")
    return result


def find_key(store: Store, key: str) -> str:
    """Return the only key that begins with `key`, even of an unreadable row; else raise `UserError`."""
    if len(key) < 8:
        raise UserError(f"Key {echo(key)} is too short; give at least its first 8 digits.")
    matches = [known for known in store.read().results.keys() | store.local_keys() if known.startswith(key)]
    if len(matches) > 1:
        raise UserError(f"{len(matches)} results have keys that begin with {echo(key)}; give more digits.")
    if not matches:
        raise UserError(f"There is no result with the key {echo(key)}; `slimscope results` lists them.")
    return matches[0]


def models() -> None:
    """List the models that have a short name."""
    print_table(
        [
            {
                "id": card.id,
                "model": card.label,
                "parameters": _count(card.parameters),
                "GB at 16 bits": f"{card.size_bytes / 1e9:.2f}",
                "licence": card.licence,
                "gated": "yes" if card.gated else "",
                "from": card.hub_id or (card.packed.requirement if card.packed else "not public"),
            }
            for card in MODELS
        ]
    )
    say("A folder or another Hugging Face id of a causal language model works too.")
    for card in MODELS:
        if card.note:
            say(f"{card.id}: {card.note}")


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"


def methods(
    name: Annotated[
        str | None, typer.Argument(help="A method, such as wanda; default: all.", show_default=False)
    ] = None,
    guide: Annotated[
        bool, typer.Option("--guide", help="Print how a package adds methods, export formats, texts and metrics.")
    ] = False,
) -> None:
    """List the methods for the stages of a chain, with their parameters, or describe one."""
    if guide:
        typer.echo(PLUG_IN_GUIDE.read_text(encoding="utf-8"), nl=False)
        return
    for method in STAGES if name is None else (get_stage(name),):
        amount = " Amount: ratio or N:M." if method.supports_nm else " Amount: ratio."
        if method.bit_choices:
            amount = f" Bits per weight: {', '.join(map(str, method.bit_choices))}."
        if method.factor_choices:
            amount = " Amount: factor above 1, such as 2x."
        if not method.takes_amount:
            amount = ""
        data = {"nothing": "", "training": " Uses training data.", "calibration": " Uses calibration data."}
        say(f"{method.name}: {method.summary}{amount}{data[method().data_requirement]}")
        if method.citation:
            cited = method.citation
            say(f"  {cited.authors}, {cited.title}, {cited.year}. {cited.url}")
        print_table(parameter_rows(method))
        output.print()


@options.with_settings("name", "dtype", "memory", "partial")
def inspect(
    model: Annotated[str, typer.Argument(help="Catalogue id (see `models`), folder, or Hugging Face id.")],
    *,
    settings: RunSettings,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON on stdout.")] = False,
) -> None:
    """Show what is in a model, which methods run on it, and a first sweep with its time and memory."""
    source = identify(model, settings.name)
    found = inspect_model(source)
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    for label, words in facts_of(source, found).items():
        say(f"{label}: {words}")
    output.print()
    print_table(families(list(applicability(found))), "Methods")
    if found.shape.uncovered_share > MOST_UNCOVERED and not settings.partial:
        say("Every run of this model needs --partial.")
        return
    chains = first_chains(found)
    grid = Grid(models=(model,), chains=tuple(chains))
    specs, _ = expand_grid(grid, settings)
    print_table(planned_rows(specs, ("dense", *chains), Store()), "A first sweep, with the dense baseline in each time")
    say(sweep_command(model, chains, settings.dtype, settings.partial))
