"""Write `results.md` from `results.template.md` and the shipped rows: `python -m docs.results`."""

from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.store.shipped import read_measured
from docs import points, tables

HERE = Path(__file__).parent
PAGE = HERE / "results.md"


def page() -> str:
    """Return the page as the shipped rows and the template make it."""
    found = points.points(read_measured().results.values())
    loader = FileSystemLoader(HERE)
    template = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return template.get_template("results.template.md").render(
        dense=points.dense(found),
        gap_closed=partial(points.gap_closed, found),
        held_out=partial(points.held_out, found),
        **{name: markdown(table(found)) for name, table in tables.TABLES.items()},
    )


def markdown(table) -> str:
    """Return a frame of cells as a Markdown table."""
    return table.to_markdown(index=False, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
