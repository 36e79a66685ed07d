"""Screenshots of every page and state: `python -m tools.screenshots FOLDER [STATE ...] [--width PIXELS ...]`.

They show a new installation without own results, in three widths, light and dark. The README's screenshot is the first
view of Explore: `python -m tools.screenshots docs --readme` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode

import typer

from tests.e2e.browser import chromium, dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
WIDTHS = (1280, 400, 1920)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
HIGH, TALLEST = 900, 6000  # pixels: height of the window, and maximum height of a whole page
STILL = 3  # seconds
BUDGET = {"explore_mode": "By size", "explore_limit_packed_mb": "180"}
STORY = {"explore_story": "cliff", "explore_others": "false", "explore_methods": ["Magnitude", "Wanda", "SparseGPT"]}
COMPARED = ["Dense · dense", "GPTQ 4 · gptq@4bit", "GPTQ 3 · gptq@3bit"]
STATES: dict[str, tuple[str, Mapping[str, str | Sequence[str]]]] = {  # name -> (page, address)
    "explore": ("", {}),
    "explore-structured": ("", {"explore_families": "Structured", "explore_tasks": "Task by task"}),
    "explore-low-rank": ("", {"explore_families": "Low rank", "explore_x": "packed size"}),
    "explore-bits": ("", {"explore_families": "Quantisation", "explore_x": "bits per weight"}),
    "explore-accuracies": ("", {"explore_tasks": "Task by task", "explore_as": "Accuracy"}),
    "explore-point": ("", {"explore_point": "sparsegpt@0.5"}),
    "story": ("", STORY | {"explore_step": "3", "explore_series": ["Magnitude", "Wanda", "SparseGPT"]}),
    "story-choose": ("", {"explore_story": "choose", "explore_mode": "By size"}),
    "budget": ("", BUDGET | {"explore_limit_times_dense": "2"}),
    "budget-third": ("", {"explore_mode": "By size"}),
    "budget-nothing-fits": ("", BUDGET | {"explore_limit_times_dense": "1.2"}),
    "budget-small": ("", {"explore_mode": "By size", "explore_limit_packed_mb": "90"}),
    "budget-accuracy": ("", BUDGET | {"explore_quality": "Accuracy above chance"}),
    "inside-answers": ("inside", {"inside_tab": "Answers", "inside_answers_variants": "magnitude@0.5"}),
    "models": ("", {"explore_mode": "Several models"}),
    "models-by-size": ("", {"explore_mode": "Several models", "explore_against": "model size"}),
    "papers-model": ("", {"explore_model": "llama-7b"}),
    "inside-layers": ("inside", {"inside_variant": "sparsegpt@0.5", "inside_by": "relative output error"}),
    "inside-difference": ("inside", {"inside_variant": "wanda@0.5", "inside_other": "sparsegpt@0.5"}),
    "inside-compare": ("inside", {"inside_tab": "Compare", "inside_compared": COMPARED}),
    "inside-documents": (
        "inside",
        {"inside_tab": "Documents", "inside_doc_document": "ARC-e 3", "inside_doc_task": "ARC-e"},
    ),
    "inside-family": ("inside", {"inside_tab": "Family tree", "inside_tree_node": "sparsegpt@0.7+adaprune"}),
    "laws": ("laws", {}),
    "laws-accuracy": ("laws", {"laws_quality": "Accuracy above chance"}),
    "run": ("run", {}),
    "run-chain": ("run", {"chain": "slimllm@0.25+lora,minutes=5", "run_tasks": "PIQA"}),
    "run-grid": ("run", {"run_mode": "Grid"}),
    "run-mistake": ("run", {"chain": "wanda@0.5+lorx"}),
    "autopilot": ("autopilot", {}),
    "published": ("published", {}),
    "published-tasks": ("published", {"published_table_name": "SparseGPT: OPT-175B, zero-shot"}),
    "methods": ("methods", {}),
}
README = {"explore_at": "50 %"}


def picture(browser: Browser, address: str, file: Path, width: int, scheme: Scheme, whole: bool = True) -> None:
    """Take one screenshot, of the whole page or of one window."""
    context = browser.new_context(viewport={"width": width, "height": HIGH}, color_scheme=scheme)
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    tab.locator("h1").wait_for()
    tab.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    if tab.locator("[data-testid=stPlotlyChart]").count():
        tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    high = settled_height(tab)
    if whole:
        tab.set_viewport_size({"width": width, "height": min(high + 60, TALLEST)})
        tab.wait_for_timeout(1000)
    tab.screenshot(path=file)
    context.close()


def settled_height(tab: Page) -> int:
    """Wait until the page keeps its height for `STILL` seconds, and return that height in pixels.

    The last tables and charts appear after the script has ended.
    """
    same = high = 0
    while same < STILL:
        tab.wait_for_timeout(1000)
        before, high = high, int(tab.locator("[data-testid=stMain]").evaluate("page => page.scrollHeight"))
        same = same + 1 if high == before else 0
    return high


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of the screenshots.")],
    states: Annotated[
        list[str] | None, typer.Argument(help="States to show; default: all, or none with --readme.")
    ] = None,
    width: Annotated[list[int] | None, typer.Option(help="Width in pixels; repeat it for several widths.")] = None,
    readme: Annotated[bool, typer.Option("--readme", help="Write the screenshot of the README.")] = False,
) -> None:
    """Take screenshots of each state of the pages in each width, light and dark."""
    if unknown := set(states or ()) - STATES.keys():
        raise SystemExit(f"Unknown states: {', '.join(sorted(unknown))}. Choose from {', '.join(STATES)}.")
    chosen = states or ([] if readme else list(STATES))
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, TemporaryDirectory() as results, dashboard(Path(results)) as (address, *_):
        if readme:
            picture(browser, f"{address}/?{urlencode(README)}", folder / "explore.png", 1600, "light", whole=False)
        for name in chosen:
            page, query = STATES[name]
            whole = name != "explore-point"  # its panel is only as high as the window
            for pixels, scheme in product(width or WIDTHS, SCHEMES):
                file = folder / f"{name}-{pixels}-{scheme}.png"
                picture(browser, f"{address}/{page}?{urlencode(query, doseq=True)}", file, pixels, scheme, whole)
                print(file)


if __name__ == "__main__":
    typer.run(main)
