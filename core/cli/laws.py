"""The command `laws`: published forms of the loss over the pruning ratio, fitted and tested."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from core.base.errors import UserError, check_above
from core.base.memory import no_collection
from core.cli.listing import check_one_format, to_latex
from core.cli.naming import matching_name
from core.cli.printing.console import messages
from core.cli.printing.layout import Row
from core.cli.printing.tables import print_numbers, print_table
from core.findings.laws.limit import Limit
from core.specs import Perplexity
from core.store import bundled
from core.store.store import Store

if TYPE_CHECKING:
    from core.findings.laws.groups import Group
    from core.findings.laws.law import Law

OF = 2  # columns that identify a row
USUAL = Limit()


def laws(
    model: Annotated[
        str | None, typer.Argument(help="A model with results, or its folder. Default: all, and the papers' tables.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="perplexity, accuracy (the mean above chance) or a task. Default: the first two."),
    ] = None,
    perplexity: Annotated[
        Perplexity | None,
        typer.Option(
            "--perplexity",
            metavar="CORPUS@WINDOW[:N[:spread]]",
            parser=Perplexity.parse,
            help="The perplexity to fit. Default: the one that most variants of a model have.",
        ),
    ] = None,
    keep: Annotated[
        float, typer.Option(help="The share of the accuracy above chance to keep, between 0 and 1.")
    ] = USUAL.keep,
    times_dense: Annotated[
        float, typer.Option(help="The highest perplexity, as a multiple of the dense model's; above 1.")
    ] = USUAL.times,
    csv: Annotated[bool, typer.Option("--csv", help="One line per fit, with all details.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The same as a JSON list.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Booktabs tables.")] = False,
) -> None:
    """Fit compression laws: exponents, errors on held-out points, and the largest ratio within a loss of quality."""
    from core.findings.laws import law, report

    check_one_format(csv=csv, json=json, latex=latex)
    if not 0 < keep < 1:
        raise UserError(f"The share to keep, {keep:g}, is outside (0, 1); give a share such as 0.9.")
    check_above(times_dense, 1, f"The multiple of the dense perplexity, {times_dense:g}, is not", 1.1)
    limit = Limit(keep, times_dense)
    groups = selected(model, metric, perplexity)
    found, short = law.laws(groups, limit), report.dropped(groups)
    if not found:
        reason = short or report.TOO_FEW
        raise UserError(f"{reason} `sweep` measures {'smaller ratios' if short else 'more'}.")
    if json or csv:
        print_numbers(report.table(found), json)
    else:
        _print(found, latex)
        messages.print("\n\n".join(filter(None, [short, report.NOTES])), markup=False)


def selected(model: str | None, metric: str | None, text: Perplexity | None) -> list["Group"]:
    """Return the groups of each model and across models, and those of the papers unless a model is named."""
    from core.findings.laws.groups import across
    from core.findings.laws.measured import ACCURACY, PERPLEXITY, check_metric, select_groups
    from core.findings.laws.papers import printed
    from core.findings.numbers.frame import tidy

    metrics = (PERPLEXITY, ACCURACY) if metric is None else (metric,)
    for name in metrics:
        check_metric(name)
    store = Store()
    with no_collection():
        frame = tidy(store.each())
    names = store.model_names()
    of = list(dict.fromkeys(frame["model"])) if model is None else [matching_name(model, names)]
    groups = [
        one for name in of for each in metrics for one in select_groups(frame[frame["model"] == name], each, text)
    ]
    groups += across(groups)
    if model is None:
        losses = {PERPLEXITY: True, ACCURACY: False}
        kinds = [losses[each] for each in metrics if each in losses]
        groups += [one for one in printed(bundled.published()) if one.loss in kinds]
    return groups


def _print(found: Sequence["Law"], latex: bool) -> None:
    """Print a table per metric of each model or paper's table."""
    from core.findings.laws.report import in_words

    tables: dict[str, list[Row]] = {}
    for one in found:
        tables.setdefault(f"{one.group.of}: {one.group.metric}", []).extend(in_words(one))
    for title, rows in tables.items():
        if latex:
            typer.echo(f"% {title}\n{to_latex(rows, OF)}")  # its empty line ends the paragraph
        else:
            print_table(rows, title)
