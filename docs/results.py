"""Write `results.md` from `results.template.md` and the shipped rows: `python -m docs.results`."""

from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.store.samples import read_shipped_samples
from core.store.shipped import read_measured
from docs import apart, points, tables

HERE = Path(__file__).parent
PAGE = HERE / "results.md"


def page() -> str:
    """Return the page as the shipped rows and the template make it."""
    shipped = read_measured().results.values()
    found, known = points.points(shipped), apart.known(shipped)
    loader = FileSystemLoader(HERE)
    template = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False, trim_blocks=True
    )
    return template.get_template("results.template.md").render(
        dense=points.dense(found),
        gap_closed=partial(points.gap_closed, found),
        held_out=partial(points.held_out, found),
        documents=points.documents(found.loc[points.DENSE]),
        seeds=markdown(apart.seeds(shipped)),
        **{name: markdown(table(found)) for name, table in tables.TABLES.items()},
        **{name: markdown(table(known, read_shipped_samples)) for name, table in apart.PAIRS.items()},
    )


def markdown(table) -> str:
    """Return a frame of cells as a Markdown table; nothing where it has no rows."""
    return "" if table.empty else table.to_markdown(index=False, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
