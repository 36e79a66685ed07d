"""A run of the default model, from the form to the chart and to another program, in a real browser."""

import pytest

from tests.e2e.actions import enter, opened, quiet, settled

pytestmark = [pytest.mark.e2e, pytest.mark.real, pytest.mark.timeout(900)]
MINUTES = 60_000
FORM = "run_model=smollm2-135m&chain=magnitude%400.33"  # a ratio that is not shipped, so that the point is new


def explored(page, name, ratio):
    """Start what is in the form and follow its job to Explore, which has a point of this series at this ratio."""
    enter(page.get_by_label("First windows", exact=True), "1")
    enter(page.get_by_label("Tokens per window", exact=True).first, "128")
    page.get_by_text("of memory").wait_for()
    page.get_by_role("button", name="Start").click()
    job = page.locator("[class*=st-key-run_job_]").first
    job.get_by_role("progressbar").wait_for(timeout=2 * MINUTES)
    page.reload()  # a job outlives the page that started it
    way = job.get_by_role("link", name="Show on Explore")
    way.wait_for(timeout=12 * MINUTES)
    quiet(page)  # the whole page runs once more when its last job has ended
    way.click()
    page.wait_for_function(
        "([name, ratio]) => document.querySelector('.js-plotly-plot')?.calcdata?.some("
        "c => c[0].trace.name?.startsWith(name) && c.some(p => Math.abs(p.x - ratio) < 1e-9))",
        arg=[name, ratio],
    )
    quiet(page)
    chart = page.locator(".js-plotly-plot").first
    assert chart.locator(".textpoint", has_text="dense").count() == 1  # the run has brought its baseline


def test_a_run_becomes_a_point_and_leaves_as_gguf_that_llama_cpp_has_read(page, address, tmp_path):
    from gguf import GGUFReader

    folder = tmp_path / "shipped"
    settled(opened(page, f"{address}/run?{FORM}"))
    explored(page, "Magnitude", 0.33)
    opened(page, f"{page.url}&explore_point=magnitude%400.33")
    page.get_by_role("button", name="Get the file").click()
    page.get_by_role("radio", name="GGUF", exact=True).click()
    page.get_by_text("One file for llama.cpp").wait_for()
    enter(page.get_by_label("New folder on this machine"), str(folder))
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Queued").wait_for()
    opened(page, f"{address}/run")
    job = page.locator("[class*=st-key-run_job_]").first
    job.get_by_text("Checked with xllamacpp").wait_for(timeout=8 * MINUTES)
    (file,) = folder.glob("*.gguf")
    tensors = {tensor.name: tensor for tensor in GGUFReader(file).tensors}
    assert 0.2 < (tensors["blk.0.ffn_gate.weight"].data == 0).mean() < 0.5
    assert "xllamacpp" in (folder / "README.md").read_text()
