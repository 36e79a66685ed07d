"""The pages of the bundled results, with each of their tables, and their points."""

from core.specs import Stage
from tests.core.factories import make, perplexity
from tests.tools.programs import run_program
from tools.report import points, results


def test_the_pages_match_the_bundled_results(tmp_path):
    assert run_program("tools.report.results", tmp_path) == 0
    written = {str(page.relative_to(tmp_path)): page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.md")}
    assert len(written) >= 10 and {"choose.md", "results.md"} <= written.keys()
    shown = {name: (results.DOCS / name).read_text(encoding="utf-8") for name in written}
    assert written == shown, "`python -m tools.report.results` writes them again"
    pages = {f"results/{page.name}" for page in (results.DOCS / "results").iterdir()}
    assert pages == {name for name in written if "/" in name}


def test_each_chain_is_a_separate_point():
    first, later = Stage(method="magnitude", ratio=0.2), Stage(method="magnitude", ratio=0.5)
    adaprune, lora = Stage(method="adaprune"), Stage(method="lora")
    chains = [(later, adaprune), (first, adaprune, later, adaprune), (Stage(method="wanda", ratio=0.5), adaprune)]
    alone = [(lora,), (Stage(method="magnitude-trained", ratio=0.5),)]
    found = points.points(
        make(perplexity(10.0), key=str(place) * 64, stages=stages, model=points.MODEL)
        for place, stages in enumerate([*chains, *alone])
    )
    assert set(found.index) == {
        ("adaprune", "", "50 %"),
        ("adaprune 20 %+adaprune", "", "50 %"),
        ("wanda", "adaprune", "50 %"),
        ("dense", "lora", "nothing"),
        ("magnitude", "magnitude-trained", "50 %"),
    }
