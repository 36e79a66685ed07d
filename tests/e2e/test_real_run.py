"""A run of the default model, from the form to the chart, in a real browser."""

from pathlib import Path

import pytest

from tests.e2e.test_browser import opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.real]
MINUTES = 60_000
# Ratios that are not shipped, so that the point is new.
FORM = "run_model=smollm2-135m&chain=wanda%400.33"
CHAIN = "wanda@0.33+lora,batch=2,held_out=1,steps=2+wanda@0.55"


def enter(field, value):
    field.fill(value)
    field.press("Enter")
    settled(field.page)


def add(page, place, name, **parameters):
    """Add a stage of the method `name` with these parameters; return its card."""
    page.get_by_role("button", name="Add a stage").click()
    method = page.get_by_role("combobox", name=f"Stage {place}")
    method.wait_for()
    settled(page)  # a field that is drawn once more forgets what is being typed
    method.click()  # which opens the list, as typing alone does not everywhere
    method.fill(name)
    page.get_by_role("option", name=name).first.wait_for()
    method.press("Enter")
    settled(page)
    card = page.locator(f".st-key-run_card{place - 1}_box")
    if parameters:
        card.get_by_text("Parameters", exact=True).click()
    for label, value in parameters.items():
        enter(card.get_by_label(label, exact=True), value)
    return card


@pytest.mark.timeout(900)
def test_a_chain_from_cards_becomes_a_point_on_explore(page, address, tmp_path):
    from playwright.sync_api import expect

    settled(opened(page, f"{address}/run?{FORM}"))
    add(page, 2, "LoRA", **{"Examples per step": "2", "Maximum steps": "2", "Held-out examples": "1"})
    last = add(page, 3, "Wanda")
    enter(last.get_by_label("Cumulative ratio after this stage", exact=True), "0.55")
    expect(page.get_by_label("Chain of stages", exact=True).first).to_have_value(CHAIN)
    for label in ("Sequences", "First windows"):
        enter(page.get_by_label(label, exact=True), "1")
    for label in ("Tokens per sequence", "Tokens per window"):  # of calibration data, the first, and of the text
        enter(page.get_by_label(label, exact=True).first, "128")
    page.get_by_text("of memory").wait_for()
    page.get_by_role("button", name="Start").click()
    job = page.locator("[class*=st-key-run_job_]").first
    job.get_by_text("Wanda, 33 %, then LoRA").wait_for()
    job.get_by_role("progressbar").wait_for(timeout=2 * MINUTES)
    page.reload()  # a job outlives the page that started it
    way = job.get_by_role("link", name="Show on Explore")
    way.wait_for(timeout=12 * MINUTES)
    settled(page)  # the whole page runs once more when its last job has ended
    way.click()
    page.get_by_role("heading", name="Explore").wait_for()
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for()
    settled(page)
    removed = chart.evaluate(
        "chart => chart.calcdata.filter(c => c[0].trace.name?.startsWith('Wanda'))"
        ".flatMap(c => c.map(p => p.x)).filter(Number.isFinite)"
    )
    assert any(abs(x - 0.55) < 1e-9 for x in removed)
    assert chart.locator(".textpoint", has_text="dense").count() == 1  # the run has brought its baseline
    page.get_by_role("button", name="Export", exact=False).first.click()
    with page.expect_download(timeout=MINUTES) as download:
        page.get_by_role("button", name="PDF", exact=True).first.click()
    pdf = tmp_path / "curve.pdf"
    pdf.write_bytes(Path(download.value.path()).read_bytes())
    assert pdf.read_bytes().startswith(b"%PDF")
    assert b"%%EOF" in pdf.read_bytes()[-32:]


@pytest.mark.timeout(600)
def test_a_point_leaves_as_gguf_that_llama_cpp_has_read(page, address, tmp_path):
    from gguf import GGUFReader

    folder = tmp_path / "shipped"
    settled(opened(page, f"{address}/?explore_point=magnitude@0.5"))
    page.get_by_role("button", name="Save for other programs").click()
    page.get_by_role("radio", name="GGUF", exact=True).click()
    page.get_by_text("One file for llama.cpp").wait_for()
    settled(page)
    enter(page.get_by_label("New folder on this machine"), str(folder))
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Queued").wait_for()
    opened(page, f"{address}/run")
    job = page.locator("[class*=st-key-run_job_]").first
    job.get_by_text("Checked with xllamacpp").wait_for(timeout=8 * MINUTES)
    (file,) = folder.glob("*.gguf")
    tensors = {tensor.name: tensor for tensor in GGUFReader(file).tensors}
    gate = tensors["blk.0.ffn_gate.weight"].data
    assert 0.3 < (gate == 0).mean() < 0.7
    assert "xllamacpp" in (folder / "README.md").read_text()
