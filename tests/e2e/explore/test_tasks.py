"""Users' tasks on Explore, with the actions that each takes after the dashboard is open."""

import re
from urllib.parse import parse_qs, urlparse

import pytest

from core.jobs.queue import Queue
from core.store.store import Store
from tests.e2e.actions import PANEL, click_mark, opened, quiet, run_again, settled
from tests.e2e.browser import dashboard
from tests.synthetic import result

pytestmark = [pytest.mark.e2e, pytest.mark.full]


def test_a_file_of_at_most_100_mb_takes_three_actions(page, address, computing, results):
    settled(opened(page, address))
    with run_again(page):
        page.get_by_role("radio", name="By size").click()  # 1; the limit is 90 MB, a third of the dense size
    page.get_by_role("button", name="Get the file").click()  # 2
    save = page.get_by_role("button", name="Save", exact=True)
    save.wait_for()
    weights = page.get_by_role("combobox", name="Weights")
    size = float(weights.input_value().partition(" MB")[0])
    quiet(page)
    save.click()  # 3
    page.get_by_text("Queued").wait_for()
    queue = Queue(Store(f"sqlite:///{results / 'local.db'}"))
    (job,) = queue.active()
    queue.cancel(job.id)
    assert job.spec.format == "gguf" and size <= 100


PLACE = """([name, ratio]) => {
  const chart = document.querySelector('.js-plotly-plot'), box = chart.getBoundingClientRect();
  const {xaxis, yaxis} = chart._fullLayout;
  for (const {name: its, x, y, customdata} of chart._fullData) {
    const at = customdata && its === name ? [...x].findIndex(one => Math.abs(one - ratio) < 1e-9) : -1;
    if (at >= 0) return [box.x + xaxis._offset + xaxis.d2p(x[at]), box.y + yaxis._offset + yaxis.d2p(y[at])];
  }
}"""  # in the window, of the point of a series at a ratio


def test_wanda_against_sparsegpt_takes_two_actions(page, address):
    opened(page, address)
    page.locator(".js-plotly-plot .point").first.wait_for()
    click_mark(page, lambda: page.evaluate(PLACE, ["Wanda", 0.5]), "explore_point=")  # 1
    page.keyboard.down("Shift")
    click_mark(page, lambda: page.evaluate(PLACE, ["SparseGPT", 0.5]), "explore_compared=")  # 2
    page.keyboard.up("Shift")
    panel = page.locator(PANEL)
    panel.get_by_text("Compare up to four").wait_for()
    compared = parse_qs(urlparse(page.url).query)["explore_compared"]
    assert sorted(compared) == ["SparseGPT 50 % · sparsegpt@0.5", "Wanda 50 % · wanda@0.5"]


def test_the_worst_layer_takes_one_action(page, address):
    settled(opened(page, address))
    page.get_by_role("link", name="Inside", exact=False).first.click()  # 1
    page.get_by_role("heading", name=re.compile(r"^Most error: \w+ of block \d+, [\d.]+ %$")).wait_for()


def test_a_bundled_answer_of_3_bits_takes_one_action(page, address):
    settled(opened(page, address))
    page.get_by_role("link", name="Read answers of dense", exact=False).click()  # 1
    answer = page.get_by_role("listbox", name="Answer of GPTQ 3")
    answer.get_by_role("option").nth(2).wait_for()
    assert settled(page).get_by_role("button", name="Generate answers").is_disabled()


def test_a_newcomer_reads_model_size_and_loss_without_an_action(page, address):
    settled(opened(page, address))
    page.get_by_role("link", name=re.compile(r"90 MB, a third of its size: 2 % more perplexity")).wait_for()


def test_a_link_shows_the_same_in_another_browser_without_an_action(page, address, browser):
    settled(opened(page, address))
    with run_again(page):
        page.get_by_role("radio", name="By size").click()
    other = opened(browser.new_page(), page.url)
    other.get_by_role("heading", name=page.locator("h1").inner_text()).wait_for()
    other.close()


BOTH = """models => {
  const data = document.querySelector('.js-plotly-plot')?._fullData ?? [];
  const shown = JSON.stringify(data.map(one => [one.name, one.text, one.customdata]));
  return models.every(model => shown.includes(model));
}"""  # whether the chart has points of all these models


def test_an_own_model_stands_beside_the_bundled_one_after_one_action(page, tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'local.db'}")
    for method, value, ratio in (("dense", 20.0, None), ("wanda", 25.0, 0.5)):
        store.put(result(method, value, ratio, corpus="wikitext2", model="mine"))
    with dashboard(tmp_path) as running:
        settled(opened(page, running.address))
        with run_again(page):
            page.get_by_role("radio", name="Several models").click()  # 1
        page.wait_for_function(BOTH, arg=["mine", "smollm2-135m"])
