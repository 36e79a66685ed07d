"""Write `docs/results.md` from its template and the bundled rows: `python -m tools.report.results`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.paths import PROJECT
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from tools.report import chains, fewshot, points, significance, tables
from tools.report.choose import Choosing
from tools.report.few_bits import few_bits, is_rounded
from tools.report.flips import changed_answers, compared_chains, flips
from tools.report.law_errors import law_errors, opt_errors
from tools.report.two_models import saved, second_dense, two_models

DOCS = PROJECT / "docs"
PAGE = DOCS / "results.md"


def page() -> str:
    """Render the page from the template and the bundled rows."""
    shipped = list(read_measured().results.values())
    with_own_tables = (is_rounded, chains.is_allocated, chains.of_embedding, chains.of_some_blocks)
    whole = [result for result in shipped if not any(has_table(result) for has_table in with_own_tables)]
    found, known = points.points(whole), significance.known(whole)
    loader = FileSystemLoader(DOCS)
    template = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, trim_blocks=True
    )
    return template.get_template("results.template.md").render(
        dense=points.dense(found),
        counted_tasks=points.tasks_sentence(found),
        gap_closed=partial(points.gap_closed, found),
        held_out=partial(points.held_out, found),
        trained_to=lambda *place: points.number(points.numbers_of(found, place)[points.LONG]),
        documents=points.documents(points.numbers_of(found, points.DENSE)),
        seeds=markdown(significance.seeds(shipped)),
        few_bits=markdown(few_bits(shipped, read_shipped_samples)),
        read_beside=partial(chains.read_beside, shipped, read_shipped_samples),
        changed_answers=partial(changed_answers, shipped, read_shipped_samples),
        compared_chains=partial(compared_chains, shipped),
        flips=markdown(flips(shipped, read_shipped_samples)),
        two_models=markdown(two_models(shipped, read_shipped_samples)),
        second_dense=second_dense(shipped),
        saved=partial(saved, shipped),
        second=points.SECOND,
        choosing=Choosing(shipped, read_shipped_samples),
        first=points.MODEL,
        law_errors=markdown(law_errors(shipped)),
        opt_errors=markdown(opt_errors()),
        **{name: markdown(table(shipped, read_shipped_samples)) for name, table in chains.TABLES.items()},
        **{name: markdown(table(shipped, read_shipped_samples)) for name, table in fewshot.TABLES.items()},
        **{name: markdown(table(found)) for name, table in tables.TABLES.items()},
        **{name: markdown(table(known, read_shipped_samples)) for name, table in significance.PAIRS.items()},
    )


def markdown(table: pd.DataFrame) -> str:
    """Return a frame of cells as a Markdown table; empty if it has no rows."""
    return "" if table.empty else table.to_markdown(index=False, tablefmt="github", disable_numparse=True)


def main(file: Annotated[Path, typer.Argument(help="Page to write.")] = PAGE) -> None:
    """Write the page of results from its template and the bundled rows."""
    file.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
