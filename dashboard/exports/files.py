"""Export of figures and tables with captions that state the protocol, in several formats, and names of the files."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import pandas as pd
import plotly.graph_objects as go

from core.findings.numbers.sheets import csv_text
from dashboard.exports.pivots import Pivot, of_pivots, of_table, wide

LONGEST = 180  # characters; file systems allow 255
WIDTHS = {"one column, 3.25 in": 3.25, "two columns, 6.75 in": 6.75}
IMAGES = {"pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml"}
DPI = (300, 600)
Build = Callable[[], go.Figure]  # draws the figure in print colours


def export_name(*parts: str) -> str:
    """Return a file name without extension, such as `slimscope-smollm2-135m-wikitext2-16x2048-perplexity`.

    The last part names the content and is never shortened.
    """
    *others, content = (_safe(part) for part in ("slimscope", *parts))
    start = "-".join(part for part in others if part)
    return f"{start[: LONGEST - len(content)].rstrip('-.')}-{content}"


def model_part(model: str) -> str:
    """Return a model's name; for a model in a folder, the folder's name, so that exports contain no private paths."""
    path = PurePath(model)
    return path.name if path.is_absolute() else model


def text_part(corpus: str, window: int, windows: int | None, spread: bool = False) -> str:
    """Return a corpus with the number and length of its windows: `wikitext2-16x2048`."""
    return f"{corpus}-{windows or 'all'}x{window}" + "-spread" * spread


def _safe(text: str) -> str:
    """Return a text in lower-case letters, digits, points and dashes: `50 %` is `50pct`, and `2:4` is `2of4`."""
    text = re.sub(r"(\d+):(\d+)", r"\1of\2", text.lower()).replace(" %", "pct")
    return re.sub(r"-?[^a-z0-9.-]+-?", "-", text).strip("-.")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A table of a page that users can export."""

    name: str  # file name without extension, from `dashboard.exports.files`
    caption: str
    table: pd.DataFrame
    pivots: Sequence[Pivot] = ()  # the table in the layout of papers, for CSV and LaTeX
    formats: Mapping[str, str] = field(default_factory=dict)  # printf formats of numeric columns
    marks: str = ""  # sentences on the marks of a figure, which its tables do not have

    @property
    def described(self) -> str:
        """The caption of the page and of figures."""
        return self.caption + self.marks


@dataclass(frozen=True, kw_only=True)
class Chart(Item):
    """A chart with the table of its data."""

    build: Build


def image(item: Chart, format: str, width: float, dpi: int = DPI[0], captioned: bool = False) -> bytes:
    """Return the chart as `pdf`, `svg` or `png` (at `dpi` dots per inch), `width` inches wide."""
    (drawn,) = images(item, item.build(), width, (format,), dpi, captioned).values()
    return drawn


def images(
    item: Chart, figure: go.Figure, width: float, formats: Sequence[str], dpi: int = DPI[0], captioned: bool = False
) -> dict[str, bytes]:
    """Draw the figure once and return it in each of the formats."""
    from dashboard.exports import print_figures  # imports matplotlib, which is slow

    title, caption = figure.layout.title.text or "", plain(item.described)
    whole = go.Figure(figure)  # plotly validates it, so that each property has one type
    page = print_figures.draw(whole, width, caption if captioned else "")
    return {format: print_figures.save(page, format, title, caption, dpi) for format in formats}


def html(item: Chart) -> bytes:
    """Return the chart as one interactive HTML page that works offline."""
    return _page(item, item.build(), True)


def _page(item: Chart, figure: go.Figure, library: bool | str) -> bytes:
    config = {"displaylogo": False, "responsive": True}
    how = {"include_plotlyjs": library, "full_html": True, "default_height": "80vh", "config": config}
    page: str = go.Figure(figure).to_html(**how)
    caption = _no_markup(plain(item.described))
    style = "font: 14px Arial, sans-serif; max-width: 60em; color: #444; margin: 1em"
    title = f"<title>{_no_markup(figure.layout.title.text or item.name)}</title></head>"
    return page.replace("</head>", title, 1).replace("</body>", f'<p style="{style}">{caption}</p></body>').encode()


def _no_markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def csv(item: Item) -> bytes:
    """Return the pivot tables with a column for each error, or the long table if there are none."""
    return csv_text(wide(item.pivots)).encode() if item.pivots else csv_long(item)


def csv_long(item: Item) -> bytes:
    """Return the whole table; the last column has the caption, which states the protocol."""
    return csv_text(item.table.assign(caption=plain(item.caption))).encode()


def latex(item: Item) -> bytes:
    """Return the pivot tables, or else the table itself, as LaTeX in booktabs style."""
    caption, label = plain(item.caption), item.name
    if item.pivots:
        return of_pivots(item.pivots, caption, label).encode()
    return of_table(item.table, item.formats, caption, label).encode()


def bundle(items: Sequence[Item], width: float) -> bytes:
    """Return a ZIP with every item of a page in every format; the HTML pages share one copy of plotly."""
    from plotly.offline import get_plotlyjs

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in items:
            archive.writestr(f"{item.name}.csv", csv(item))
            archive.writestr(f"{item.name}.tex", latex(item))
            if item.pivots:
                archive.writestr(f"{item.name}-long.csv", csv_long(item))
            if isinstance(item, Chart):
                figure = item.build()
                archive.writestr(f"{item.name}.html", _page(item, figure, "directory"))
                for format, data in images(item, figure, width, tuple(IMAGES)).items():
                    archive.writestr(f"{item.name}.{format}", data)
        if any(isinstance(item, Chart) for item in items):
            archive.writestr("plotly.min.js", get_plotlyjs())
        captions = "\n\n".join(f"{item.name}: {plain(item.described)}" for item in items)
        archive.writestr("README.txt", f"Made by Slimscope.\n\n{captions}\n")
    return stream.getvalue()


def plain(text: str) -> str:
    """Return a text without plotly or Markdown markup."""
    for mark in ("<b>", "</b>", "**", "`"):
        text = text.replace(mark, "")
    return text.replace("<br>", " ")
