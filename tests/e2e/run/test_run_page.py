"""The Run page in a real browser: a grid queued, reordered and cancelled, cards and chain, and what stays in sight."""

import pytest
from playwright.sync_api import expect

from core.amount import Ratio
from core.jobs.queue import Queue
from core.request.complete import complete
from core.request.stages import build_run, build_stage
from core.store.store import Store
from tests.e2e.actions import enter, opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]
GRID = "run_mode=Grid&run_chains=magnitude%40&run_windows=3&" + "&".join(
    f"run_amounts=0.3{place}" for place in (1, 2, 3)
)
LONG = "chain=slimllm%400.25%2Blora%2Cminutes%3D5&run_tasks=PIQA&run_limit=20&run_latency=true&run_windows=4&run_seed=3"


def test_a_grid_is_queued_reordered_and_cancelled(page, address, computing):
    settled(opened(page, f"{address}/run?{GRID}"))
    page.get_by_text("4 runs including the dense model: 4 to start").wait_for()
    page.get_by_role("button", name="Start").click()
    card = page.locator(".st-key-run_start_card")
    card.get_by_text("Waiting for another run on this machine").wait_for()
    rows = page.locator("[class*=st-key-run_waits_] li")
    expect(rows).to_have_text([f"Magnitude, {share} %, smollm2-135m" for share in (31, 32, 33)])
    expect(page.get_by_text("3 jobs waiting · All 4 jobs: about")).to_be_visible()
    last = page.locator("[class*='st-key-run_waits_']", has_text="33 %").first
    last.get_by_role("button", name="arrow_upward").click()
    expect(rows).to_have_text([f"Magnitude, {share} %, smollm2-135m" for share in (31, 33, 32)])
    page.get_by_role("button", name="Cancel all").click()
    page.get_by_text("Cancelled 4 jobs.").wait_for()
    expect(rows).to_have_count(0)
    card.get_by_text("cancelled").wait_for()
    expect(page.get_by_role("button", name="Cancel all")).to_have_count(0)
    expect(card.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(card.get_by_role("button", name="Start")).to_be_enabled()


def test_an_idle_page_shows_a_job_that_something_else_queues(page, address, results, computing):
    settled(opened(page, f"{address}/run"))
    page.get_by_text("No job is waiting").wait_for()
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    job_id = queue.submit(complete("smollm2-135m", "magnitude@0.34"))
    page.locator(".st-key-run_start_card").get_by_text("Waiting for another run on this machine").wait_for()
    queue.cancel(job_id)
    page.get_by_text("cancelled").first.wait_for()


@pytest.mark.parametrize("width", [1280, 400])
def test_start_and_estimate_stay_in_sight_wherever_one_is_in_the_form(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    settled(opened(page, f"{address}/run?{LONG}"))
    start = page.get_by_role("button", name="Start")
    takes = page.get_by_text("GB of memory")
    for field in ("Model", "Stage 2", "Perplexity on"):
        page.get_by_role("combobox", name=field).scroll_into_view_if_needed()
        expect(start).to_be_in_viewport(ratio=1)
        expect(takes).to_be_in_viewport(ratio=1)
    top = page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop")
    assert top > 300


def test_the_chain_and_its_cards_follow_each_other(page, address):
    settled(opened(page, f"{address}/run?chain=magnitude%400.5%2Blora"))
    chain = page.get_by_label("Chain of stages", exact=True).first  # one that was written anew may stand beside it
    expect(chain).to_have_value("magnitude@0.5+lora")
    second = page.locator(".st-key-run_card1_box")
    second.get_by_text("Parameters", exact=True).click()
    page.get_by_label("Maximum minutes", exact=True).fill("5")
    second.get_by_role("button", name="arrow_upward").click()  # and so leaves the field
    page.wait_for_url("**/run?chain=lora%2Cminutes%3D5%2Bmagnitude%400.5")
    settled(page)
    expect(chain).to_have_value("lora,minutes=5+magnitude@0.5")
    assert page.get_by_label("Maximum minutes", exact=True).input_value() == "5"  # open still, as it has moved
    chain.fill("wanda@0.5 lora,minutes=6+ria@0.7")
    chain.press("Enter")
    third = page.get_by_role("combobox", name="Stage 3")
    expect(third).to_have_value("RIA · removes weights")
    expect(chain).to_have_value("wanda@0.5+lora,minutes=6+ria@0.7")
    page.reload()
    expect(third).to_have_value("RIA · removes weights")
    expect(chain).to_have_value("wanda@0.5+lora,minutes=6+ria@0.7")
    chain.fill("wanda@0.5+lorx")
    chain.press("Enter")
    page.get_by_role("alert").filter(has_text="Character 11: Unknown stage 'lorx'").wait_for()
    assert chain.input_value() == "wanda@0.5+lorx"
    assert page.locator("[class*=st-key-run_card][class*=_box]").count() == 3


def test_a_job_that_is_tried_again_shows_how_it_ends(page, address, results):
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    first = queue.submit(build_run("toy", "gone", [build_stage("magnitude", Ratio(0.5))]))
    queue.cancel(first)
    settled(opened(page, f"{address}/run"))
    page.locator(f".st-key-run_job_{first}").get_by_role("button", name="Try again").click()
    again = page.locator(f".st-key-run_job_{first + 1}")
    again.get_by_role("alert").filter(has_text="toy").wait_for(timeout=90_000)


def test_a_folder_that_a_link_names_waits_for_the_button(page, address, tmp_path):
    (tmp_path / "config.json").write_text("[]")
    settled(opened(page, f"{address}/run?run_model={tmp_path}"))
    button = page.get_by_role("button", name="Read this folder")
    button.wait_for()
    assert page.get_by_text("contains no JSON object").count() == 0
    enter(page.get_by_role("spinbutton", name="Cumulative ratio after this stage"), "0.3")
    button.click()
    page.get_by_text("contains no JSON object").wait_for()
    button.wait_for(state="detached")
