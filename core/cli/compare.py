"""The command `compare`: paired differences of variants to a reference, with verdicts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from core.base.errors import UserError
from core.cli.listing import check_one_format, find_result, to_latex
from core.cli.printing.console import messages, say
from core.cli.printing.layout import Row
from core.cli.printing.overview import of_mean
from core.cli.printing.tables import SHORT_KEY, column, print_numbers, print_table, print_tsv, usual, written
from core.metrics import metric
from core.models.names import display_names
from core.models.sources import typed_name
from core.notation import chain
from core.notation.chain import DENSE
from core.results import Result
from core.store.store import Store

if TYPE_CHECKING:
    from pandas import DataFrame

    from core.findings.numbers.reporting import TableRow

Names = dict[str, str]  # by key


def compare(
    keys: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C ...]",
            help="Keys of results, or their first 8 or more digits. `dense` is the dense model of the others. The "
            "first result is the reference of all differences.",
        ),
    ],
    csv: Annotated[bool, typer.Option("--csv", help="One line per number and pair, with all details.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as a JSON list.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="A booktabs table.")] = False,
    tsv: Annotated[
        bool, typer.Option("--tsv", help="One line per number and pair, as shown, separated by tabs.")
    ] = False,
) -> None:
    """Test differences on the same documents and windows, with unadjusted 95 % intervals and adjusted p."""
    from core.findings.numbers.differences import differences
    from core.findings.numbers.few import few_in
    from core.findings.seeds import Seeds

    check_one_format(csv=csv, tsv=tsv, json=json, latex=latex)
    store = Store()
    reference, *others = chosen(store, keys)
    dense = store.get_many({one.variant.dense_key for one in (reference, *others)})
    found = differences(others, reference, store.samples, dense.values(), Seeds(store))
    names = named([reference, *others])
    if unpaired := [names[one.variant.key] for one in others if one.variant.key not in set(found["key"])]:
        problem = (
            f"{names[reference.variant.key]} shares no number with {' or '.join(unpaired)}; measure them on the same "
            "texts and windows, or on the same tasks and documents."
        )
        if found.empty:
            raise UserError(problem)
        messages.print(problem, markup=False)
    if json or csv:
        print_numbers(found, json)
    elif tsv:
        print_tsv(plain_rows(found, reference, names))
    else:
        print_comparison(found, reference, names, latex)
        if warning := few_in(found):
            messages.print(warning, markup=False)


def print_comparison(found: "DataFrame", reference: Result, names: Names, latex: bool) -> None:
    """Print a table per pair, with the main metric of each task, and a sentence on the better variant."""
    from core.findings.numbers.reporting import seeds_words
    from core.findings.numbers.seven import MEAN  # a mean above chance judges instead
    from core.findings.pairs.numbers import winner
    from core.findings.pairs.paired import reasons

    shown = found[[usual(*row) for row in zip(found["dataset"], found["metric"], strict=True)]]
    keys, other = list(dict.fromkeys(shown["key"])), names[reference.variant.key]
    for key in keys:
        pair, one = shown[shown["key"] == key], names[key]
        rows = table(pair, reference, one, other)
        if latex:
            typer.echo(to_latex(rows))  # its empty line ends the paragraph
            continue
        print_table(rows, f"{one} ({key[:SHORT_KEY]}) compared with {other} ({reference.variant.key[:SHORT_KEY]})")
        words = [winner(pair, one, other).replace("**", ""), seeds_words(pair[pair["dataset"] != MEAN])]
        say(" ".join(filter(None, [*words, *reasons(pair)])) + "\n")


def plain_rows(found: "DataFrame", reference: Result, names: Names) -> list[Row]:
    """Return the rows of `print_comparison` for programs: cells without units, accuracies in percent."""
    from core.findings.numbers.reporting import flip_words, form_of, marked_verdict, p_words

    shown = found[[usual(*row) for row in zip(found["dataset"], found["metric"], strict=True)]]
    rows = []
    for name, row in zip(_called(shown, reference), shown.to_dict("records"), strict=True):
        form = form_of(row["metric"])
        write = (form.point, form.end, form.end)
        cells = ["" if _absent(row[key]) else one(row[key]) for key, one in zip(form.figures, write, strict=True)]
        rows.append(
            {
                "key": row["key"][:SHORT_KEY],
                "variant": names[row["key"]],
                "compared with": names[reference.variant.key],
                "number": name,
                "value": _value(row, "value").partition(" ")[0],
                "reference": _value(row, "reference").partition(" ")[0],
                "difference": cells[0],
                "low": cells[1],
                "high": cells[2],
                "flips to right, wrong": flip_words(row),
                "adjusted p": p_words(row["p_adjusted"]),
                "verdict": marked_verdict(row),
            }
        )
    return rows


def _absent(value: float | None) -> bool:
    return value is None or math.isnan(value)


def chosen(store: Store, keys: Sequence[str]) -> list[Result]:
    """Return the results of at least two keys; `dense` is the dense model of the others."""
    if len(keys) < 2:
        raise UserError("Name at least two results to compare, such as `compare dense 1a2b3c4d`.")
    known = {key: find_result(store, key) for key in keys if key != DENSE}
    if DENSE in keys:
        known[DENSE] = _dense(store, list(known.values()))
    found = [known[key] for key in keys]
    for place, result in enumerate(found):
        if result.variant.key in {other.variant.key for other in found[:place]}:
            raise UserError(f"{result.variant.key[:SHORT_KEY]} is named twice; name each result once.")
    return found


def _dense(store: Store, others: Sequence[Result]) -> Result:
    wanted = {other.variant.dense_key: other.variant for other in others}
    if len(wanted) != 1:
        raise UserError(
            "`dense` is ambiguous, because these results have several dense models; give its key instead."
            if wanted
            else "`dense` is the dense model of the other results; name at least one other."
        )
    ((key, variant),) = wanted.items()
    found = store.get(key)
    if found is None:
        raise UserError(
            f"The dense {variant.model} in {variant.dtype} has no result; `slimscope run "
            f"{typed_name(variant.model_id)} dense` measures it."
        )
    return found


def named(results: Sequence[Result]) -> Names:
    """Name each result by its chain, and by its model or key where that is ambiguous; return the names by key."""
    models = display_names(result.variant.model_id for result in results)
    several = len(set(models.values())) > 1
    names = {}
    for result in results:
        variant = result.variant
        name = chain.format_chain(variant.stages) + (" (cancelled)" if variant.cut_short else "")
        names[variant.key] = f"{name}, {models[variant.model_id]}" if several else name
    every = list(names.values())
    return {key: f"{name}, {key[:8]}" if every.count(name) > 1 else name for key, name in names.items()}


def table(pair: "DataFrame", reference: Result, one: str, other: str) -> list[Row]:
    """Return one row per number with the difference of a variant to the reference; accuracies are in percent."""
    from core.findings.numbers.reporting import UNADJUSTED, flip_words, format_difference, marked_verdict, p_words

    several = pair["comparisons"].max()
    p = f"adjusted p, Holm over {several:.0f}" if several > 1 else "adjusted p"
    return [
        {
            "number": name,
            **{name: _value(row, name) for name in ("chance", "majority")},
            other: _value(row, "reference"),
            one: _value(row, "value"),
            f"difference, {UNADJUSTED}": format_difference(row),
            "flips to right, wrong": flip_words(row),
            p: p_words(row["p_adjusted"]),
            "verdict": marked_verdict(row).partition(":")[0],
        }
        for name, row in zip(_called(pair, reference), pair.to_dict("records"), strict=True)
    ]


def _called(pair: "DataFrame", reference: Result) -> list[str]:
    """Return the names of the numbers, equal to the columns of `results`."""
    from core.findings.numbers.differences import NUMBER, number_of, number_of_mean
    from core.findings.numbers.seven import ABOVE_CHANCE, MEAN, by_protocol

    known = {number_of(row): column(row) for row in reference.measurements}
    for protocol, rows in by_protocol(reference.measurements).items():
        known |= {
            number_of_mean(protocol, name): of_mean(next(iter(rows.values())), name) for name in (ABOVE_CHANCE, MEAN)
        }
    return [known[one] for one in zip(*(pair[name] for name in NUMBER), strict=True)]


def _value(row: "TableRow", name: str) -> str:
    """Write a number or a baseline of a row; empty if it is unknown."""
    from core.findings.numbers.seven import ABOVE_CHANCE

    if _absent(row[name]):
        return ""
    if metric(row["metric"]).percent:
        return f"{100 * row[name]:.1f} {'points' if row['dataset'] == ABOVE_CHANCE else '%'}"
    return written(row["metric"], row[name])
