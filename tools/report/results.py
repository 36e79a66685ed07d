"""Write `docs/choose.md` and the pages of results from the bundled rows: `python -m tools.report.results`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.base.paths import PROJECT
from core.store.samples import read_shipped_samples
from tools.report import chains, fewshot, points, significance, tables
from tools.report.choose import Choosing
from tools.report.few_bits import few_bits, is_rounded
from tools.report.flips import changed_answers, compared_chains, flips
from tools.report.law_errors import law_errors, opt_errors
from tools.report.two_models import saved, second_dense, two_models

DOCS = PROJECT / "docs"
TEMPLATES = Path(__file__).with_name("pages")
NOTE = (
    "<!-- Do not edit: `python -m tools.report.results` writes this page from tools/report/pages/{} and"
    " cached_results/measured/. -->\n\n"
)


def pages() -> dict[str, str]:
    """Render the pages from the templates and the bundled rows, by their paths in `docs`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
        trim_blocks=True,
    )
    known = numbers()
    return {
        name: NOTE.format(name) + environment.get_template(name).render(known) for name in environment.list_templates()
    }


def numbers() -> dict[str, Any]:  # Any: texts, and functions that return texts
    """Return the names of the templates with their texts and functions."""
    shipped = points.shipped()
    with_own_tables = (is_rounded, chains.is_allocated, chains.of_embedding, chains.of_some_blocks)
    whole = [result for result in shipped if not any(has_table(result) for has_table in with_own_tables)]
    found, known = points.points(whole), significance.known(whole)
    texts = {
        "dense": points.dense(found),
        "counted_tasks": points.tasks_sentence(found),
        "gap_closed": partial(points.gap_closed, found),
        "held_out": partial(points.held_out, found),
        "trained_to": lambda *place: points.number(points.numbers_of(found, place)[points.LONG]),
        "documents": points.documents(points.numbers_of(found, points.DENSE)),
        "read_beside": partial(chains.read_beside, shipped, read_shipped_samples),
        "changed_answers": partial(changed_answers, shipped, read_shipped_samples),
        "compared_chains": partial(compared_chains, shipped),
        "second_dense": second_dense(shipped),
        "saved": partial(saved, shipped),
        "first": points.MODEL,
        "second": points.SECOND,
        "how": points.HOW,
        "choosing": Choosing(shipped, read_shipped_samples),
    }
    compared = chains.TABLES | fewshot.TABLES | {table.__name__: table for table in (few_bits, flips, two_models)}
    shown = {
        "seeds": significance.seeds(shipped),
        "law_errors": law_errors(shipped),
        "opt_errors": opt_errors(),
        **{name: table(shipped, read_shipped_samples) for name, table in compared.items()},
        **{name: table(found) for name, table in tables.TABLES.items()},
        **{name: table(known, read_shipped_samples) for name, table in significance.PAIRS.items()},
    }
    return texts | {name: markdown(table) for name, table in shown.items()}


def markdown(table: pd.DataFrame) -> str:
    """Return a frame of cells as a Markdown table; empty if it has no rows."""
    return "" if table.empty else table.to_markdown(index=False, tablefmt="github", disable_numparse=True)


def main(folder: Annotated[Path, typer.Argument(help="Folder of the pages.")] = DOCS) -> None:
    """Write the pages of results from their templates and the bundled rows."""
    for name, text in pages().items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
