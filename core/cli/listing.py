"""The commands that list or delete: `results`, `delete`, `models`, `methods`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic.fields import FieldInfo

from core.analysis import latex as tex
from core.cli.collection import no_collection
from core.cli.console import messages, output
from core.cli.tables import SHORT_KEY, SUMMARY_NOTE, Row, as_json, print_table, summary, warn_few
from core.errors import UserError, echo
from core.methods.base import Method
from core.methods.fields import AUTO, bounds, choices, type_of
from core.models.catalogue import MODELS
from core.registry import STAGES
from core.results import Result
from core.store.store import Store

OF = ("model", "chain", "seed")  # columns of `summary` that say what a row is of
TYPES = {bool: "boolean", int: "integer", float: "number"}


@no_collection()
def results(
    csv: Annotated[bool, typer.Option("--csv", help="One line a number, with its protocol, beside dense.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A list of whole results.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="A booktabs table, one row a variant.")] = False,
) -> None:
    """List all results, shipped ones included."""
    check_one_format(csv, json, latex)
    store = Store()
    found = store.results()
    if json:
        typer.echo("[" + ",\n".join(as_json(result) for result in found) + "]")
    elif csv:
        from core.analysis.differences import tidy_beside_dense
        from core.analysis.sheets import csv_text

        typer.echo(csv_text(tidy_beside_dense(found, store.samples)), nl=False)
    elif latex:
        rows = summary(found, store.samples, store.model_names())
        rows = [{k: v for k, v in row.items() if k != "key"} for row in rows]
        typer.echo(to_latex(rows, len(OF), SUMMARY_NOTE), nl=False)
    elif found:
        print_table(summary(found, store.samples, store.model_names()), note=SUMMARY_NOTE)
        warn_few(found)
    else:
        messages.print("There are no results yet; `slimscope run smollm2-135m wanda` makes the first.")


def check_one_format(csv: bool, json: bool, latex: bool) -> None:
    """Raise `UserError` where a command is asked for more than one format."""
    if csv + json + latex > 1:
        raise UserError("Choose one of --csv, --json and --latex.")


def to_latex(rows: Sequence[Row], first: int = 1, note: str = "") -> str:
    """Return rows as LaTeX tables with booktabs rules, as many as it takes for each to fit a page's width.

    Every one has the `first` columns, which say what a row is of, and the rows that say anything in its others. A note
    stands under the last.
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
    """Return the lines of a table of the first columns and those at some places."""
    every = [*range(first), *places]
    rows = [[row[place] for place in every] for row in cells if any(row[place] for place in places)]
    return tex.headed([names[place] for place in every], rows, "l" * len(every))


def _set(table: Sequence[str]) -> str:
    columns = "l" * (table[0].count(" & ") + 1)
    lines = tex.tabular(table, columns, tex.letters(table, tex.PAGE) or tex.SMALLEST)
    return "{" + "\n".join(lines) + "}\n"


def delete(
    key: Annotated[str, typer.Argument(help="The key of your own result, or the first 8 or more of its digits.")],
) -> None:
    """Delete one of your own results with all its numbers."""
    store = Store()
    store.delete(find_key(store, key))
    messages.print(f"Deleted {key}.", markup=False)


def find_result(store: Store, key: str) -> Result:
    """Return the result whose key begins with `key`; a `UserError` unless there is exactly one that can be read."""
    found = find_key(store, key)
    result = store.get(found)
    if result is None:
        raise UserError(f"The result {found[:SHORT_KEY]} cannot be read; run it again, or delete it.")
    return result


def find_key(store: Store, key: str) -> str:
    """Return the key that begins with `key`, that of a row that cannot be read, too; a `UserError` unless one does."""
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
                "from": card.hub_id or (card.packed.requirement if card.packed else "nowhere public"),
            }
            for card in MODELS
        ]
    )
    output.print("A folder or another Hugging Face id of a causal language model works too.")
    output.print("Methods of convolutions take a folder with an audio or vision encoder.")
    for card in MODELS:
        if card.note:
            output.print(f"{card.id}: {card.note}", markup=False)


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} B" if parameters >= 1e9 else f"{parameters / 1e6:.0f} M"


def methods() -> None:
    """List the stages that a chain is made of, methods first, with their parameters."""
    for method in STAGES:
        targets = " Ratio or N:M pattern." if method.patterns else " Ratio."
        if method.bits:
            targets = f" Bits a weight: {', '.join(map(str, method.bits))}."
        if method.factors:
            targets = " A factor above 1, such as 2x."
        if not method.takes_amount:
            targets = ""
        reads = {"nothing": "", "training": " Trains on text.", "calibration": " Reads calibration text."}
        output.print(f"{method.name}: {method.summary}{targets}{reads[method().reads]}", markup=False)
        if method.citation:
            cited = method.citation
            output.print(f"  {cited.authors}, {cited.title}, {cited.year}. {cited.url}", markup=False)
        print_table(parameter_rows(method))
        output.print()


def parameter_rows(method: type[Method]) -> list[dict[str, str]]:
    """Return one row a parameter, from the method's declaration."""
    return [
        {
            "parameter": name,
            "type": TYPES.get(type_of(field), "string"),
            "allowed": allowed(field),
            "default": AUTO if field.default is None else str(field.default),
            "what it does": field.description or "",
        }
        for name, field in method.Parameters.model_fields.items()
    ]


def allowed(field: FieldInfo) -> str:
    """Return the values that a parameter may have, such as `> 0, <= 10`."""
    return ", ".join(choices(field) or (f"{sign} {bound:g}" for sign, bound in bounds(field).items()))
