"""The command `import`: results of other programs become series on every chart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.base.errors import UserError, echo, unknown
from core.cli.printing.console import messages
from core.cli.printing.tables import SHORT_KEY, column, measured, print_table
from core.data.cards import TASKS
from core.imports.files import read_imports, store_imports
from core.imports.harness import model_of
from core.imports.series import DEFAULT_LABEL, KINDS, parse_series
from core.imports.sheet import COLUMNS
from core.imports.uploads import read_files
from core.notation.formatting import chain_name
from core.store.store import Store

HELP = (
    "Import results of lm_eval, or a CSV, as series of their own.\n\n"
    "A CSV has a header and one row per number. Only columns with a star are required:\n\n\b\n"
    + "\n".join(f"{name + '*' * one.needed:<11} {one.description}" for name, one in COLUMNS.items())
)


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="One results_*.json of lm_eval with its samples_*.jsonl, or CSV files. Limits: 20 MB per file, 50 MB "
            "for all samples.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="ID", help="For lm_eval: the dense model, if the file names no hub id."),
    ] = None,
    label: Annotated[str, typer.Option(help="For lm_eval: the name of the series.")] = DEFAULT_LABEL,
    ratio: Annotated[
        str | None, typer.Option(metavar="R", help="For lm_eval: the pruning ratio; 0 for the dense model.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="N:M", help="For lm_eval: N:M sparsity in place of a ratio.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--ratio-kind",
            help="For lm_eval: the ratio counts zero weights (sparsity) or removed weights (parameters).",
        ),
    ] = KINDS[0],
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TASK",
            help="For lm_eval: the task here for a name in the file, such as arc_easy_local=arc_easy; may be repeated.",
        ),
    ] = None,
) -> None:
    """Import results of other programs."""
    uploads, store = read_files(files), Store()
    results = [upload for upload in uploads if upload.ending == ".json"]
    variant, task_names = None, parse_task_names(task or ())
    if task_names and not results:
        raise UserError("--task is for a results file of lm_eval, and none is given; remove it.")
    if results:
        named = model or model_of(results[0])
        if named is None:
            raise UserError(f"{results[0].shown} names no model by its hub id; name the dense model with --model.")
        variant = parse_series(named, label, ratio, pattern, kind)
    found = read_imports(uploads, variant, store, task_names)
    store_imports(found, store)
    names = store.model_names()
    rows = [
        {
            "key": result.variant.key[:SHORT_KEY],
            "model": names[result.variant.model_id],
            "series": chain_name(result.variant.stages),
            "number": column(row),
            "value": measured(row),
            "n": str(row.n),
        }
        for result in found.results
        for row in result.measurements
    ]
    print_table(rows)
    for sentence in found.left_out:
        messages.print(sentence, markup=False)


def parse_task_names(texts: Sequence[str]) -> dict[str, str]:
    """Return the tasks of `NAME=TASK` texts by their names in files; raise `UserError` for other texts."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, task = (part.strip() for part in text.partition("="))
        if not (name and equals):
            raise UserError(f"Task {echo(text)} is not NAME=TASK, such as arc_easy_local=arc_easy.")
        if task not in TASKS:
            raise unknown("task", task, TASKS)
        if name in found:
            raise UserError(f"Task {echo(name)} is mapped twice; map it once.")
        found[name] = task
    return found
