"""Test of all exported figures and tables: `python -m tools.exports FOLDER [STATE ...]`.

It exports each chart and table of the page states (`tools.screenshots`), of the published tables and of the command
line, with the bundled results: charts as PNG in both widths, and everything as LaTeX. TeX compiles the LaTeX on a page
of two columns. The tool reports TeX's errors and tables that are wider than their column. Install TeX with
`apt-get install texlive-latex-recommended`; without it, the tool only writes the files.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from core.base.paths import PROJECT
from core.cli.app import app as command_line
from core.store.store import Store
from dashboard.charts.papers import TABLES
from dashboard.exports import files
from dashboard.shared import widgets
from tools.screenshots import STATES

COLUMN, PAGE = files.WIDTHS.values()  # inches
DOCUMENT = rf"""\documentclass[twocolumn]{{article}}
\usepackage{{booktabs}}
\setlength{{\textwidth}}{{{PAGE}in}}
\setlength{{\columnsep}}{{{PAGE - 2 * COLUMN}in}}
\begin{{document}}
%s
\end{{document}}
"""
WIDE = "\\onecolumn\n\\noindent\n"  # for tables of the command line, which are not made for one column
WRONG = re.compile(r"^! (.*)$", re.MULTILINE)
TOO_WIDE = re.compile(r"^Overfull \\hbox \(([\d.]+)pt too wide\)", re.MULTILINE)
INCH = 72.27  # TeX's points
LONGEST = 300  # seconds to load a page
COMPARED = 3  # variants compared with dense
PUBLISHED = {f"published-{place}": {"published_table_name": table.title} for place, table in enumerate(TABLES)}
TUNED = {"published-tuned": {"published_table_name": TABLES[2].title, "published_tuned": "both"}}
PAGES = STATES | {name: ("published", query) for name, query in (PUBLISHED | TUNED).items()}


def exported(state: str) -> list[files.Item]:
    """Return the items with an Export button in a state of a page."""
    page, query = PAGES[state]
    items: list[files.Item] = []
    app = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=LONGEST)
    app.query_params.update(query)
    if page:
        app.switch_page(f"{page}/view.py")
    with patch.object(widgets, "export_menu", lambda name, item: items.append(item)):
        app.run()
    if app.exception:
        raise SystemExit(f"{state} failed: {app.exception[0].value}")
    return items


def printed(*command: str) -> str:
    """Return the output of a command."""
    result = CliRunner().invoke(command_line, command)
    if result.exit_code:
        raise SystemExit(f"`{' '.join(command)}` failed: {result.output}")
    return result.stdout


def wrong_with(file: Path, before: str = "") -> str:
    """Compile a LaTeX file and return its error or excess width, empty if there is none; `before` precedes it."""
    with TemporaryDirectory() as folder:
        Path(folder, "page.tex").write_text(DOCUMENT % (before + file.read_text()))
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
        log = Path(folder, "page.log").read_text(errors="replace")
    if sentence := WRONG.search(log):
        return f"does not compile: {sentence[1]}"
    over = max(map(float, TOO_WIDE.findall(log)), default=0.0) / INCH
    room = PAGE if before or r"\begin{table*}" in file.read_text() else COLUMN
    return f"is {room + over:.2f} in wide, of {room} in" if over else ""


def main(folder: Path, states: list[str]) -> None:
    """Export the items of states, all by default, into a folder and compile them."""
    if unknown := set(states) - PAGES.keys():
        raise SystemExit(f"Unknown states: {', '.join(sorted(unknown))}. Choose from {', '.join(PAGES)}.")
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, str] = {}  # LaTeX file -> the LaTeX before it on a page
    for state in states or PAGES:
        for item in exported(state):
            start = folder / f"{state}-{item.name}"
            if isinstance(item, files.Chart):
                for width in files.WIDTHS.values():
                    Path(f"{start}-{width}in.png").write_bytes(files.image(item, "png", width))
            written[Path(f"{start}.tex")] = ""
            Path(f"{start}.tex").write_bytes(files.latex(item))
    if not states:
        compressed = [one for one in Store().results() if one.variant.key != one.variant.dense_key]
        most = sorted(compressed, key=lambda one: -len(one.measurements))[:COMPARED]
        keys = [one.variant.key for one in most]
        for name, command in {"results": ("results",), "compare": ("compare", "dense", *keys)}.items():
            written[folder / f"{name}.tex"] = WIDE
            (folder / f"{name}.tex").write_text(printed(*command, "--latex"))
    if not shutil.which("pdflatex"):
        print(f"{len(written)} tables written to {folder}; install pdflatex to compile them.")
        return
    errors = {file: error for file, before in written.items() if (error := wrong_with(file, before))}
    for file, error in errors.items():
        print(f"{file.name} {error}")
    if errors:
        raise SystemExit(f"{len(errors)} of {len(written)} tables have errors.")
    print(f"{len(written)} tables compile within their columns.")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    logging.getLogger("streamlit").setLevel(logging.ERROR)  # it warns without a browser
    with TemporaryDirectory() as results:
        os.environ["SLIMSCOPE_RESULTS"] = results
        main(Path(sys.argv[1]), sys.argv[2:])
