"""A run of the default model, from the form to the chart, in a real browser."""

from pathlib import Path

import pytest

from tests.e2e.test_browser import opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.real]
MINUTES = 60_000
# A ratio that is not shipped, so that the point is new.
FORM = "run_model=smollm2-135m&chain=wanda%400.33"


@pytest.mark.timeout(900)
def test_a_wanda_run_from_the_form_becomes_a_point_on_explore(page, address, tmp_path):
    settled(opened(page, f"{address}/run?{FORM}"))
    for label, number in (("Windows", "4"), ("First windows", "4")):
        field = page.get_by_label(label, exact=True)
        field.fill(number)
        field.press("Enter")
        settled(page)
    page.get_by_text("of memory").wait_for()
    page.get_by_role("button", name="Start").click()
    job = page.locator("[class*=st-key-run_job_]").first
    job.get_by_text("Wanda, 33 %, smollm2-135m").wait_for()
    job.get_by_role("progressbar").wait_for(timeout=2 * MINUTES)
    page.reload()  # a job outlives the page that started it
    job.get_by_role("link", name="See it on Explore").click(timeout=12 * MINUTES)
    page.get_by_role("heading", name="Explore").wait_for()
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    removed = chart.evaluate(
        "chart => chart.calcdata.filter(c => c[0].trace.name?.startsWith('Wanda'))"
        ".flatMap(c => c.map(p => p.x)).filter(Number.isFinite)"
    )
    assert any(abs(x - 0.33) < 1e-9 for x in removed)
    assert chart.locator(".legendtext", has_text="Dense").count() == 1  # the run has brought its baseline
    page.get_by_role("button", name="Export", exact=False).first.click()
    with page.expect_download(timeout=MINUTES) as download:
        page.get_by_role("button", name="PDF", exact=True).first.click()
    pdf = tmp_path / "curve.pdf"
    pdf.write_bytes(Path(download.value.path()).read_bytes())
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"%%EOF" in pdf.read_bytes()[-32:]
