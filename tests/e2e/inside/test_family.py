"""The family tree of Inside in a real browser: clicks on its marks, and its layout."""

from itertools import pairwise

import pytest

from tests.e2e.actions import OVERFLOW, click_mark, opened, settled

pytestmark = pytest.mark.e2e
TREE = "inside?inside_tab=Family+tree&inside_model=toy"
PLACE = """target => {
  const chart = document.querySelector('.js-plotly-plot');
  if (!chart?._fullLayout?.xaxis?._offset) return null;
  chart.scrollIntoView();
  const {xaxis, yaxis} = chart._fullLayout, box = chart.getBoundingClientRect();
  for (const {x, y, customdata} of chart._fullData) {
    const point = (customdata || []).findIndex(one => one[0] === target || one[1].includes(target));
    if (point >= 0) return {
      x: box.x + xaxis._offset + xaxis.l2p(x[point]), y: box.y + yaxis._offset + yaxis.l2p(y[point]),
    };
  }
  return null;
}"""  # of the mark with this target or text; null until it is drawn


def click(page, target, address):
    """Click the mark of the tree with this target or text, and wait for an address with this text."""

    def place():
        found = settled(page).wait_for_function(PLACE, arg=target).json_value()
        return found["x"], found["y"]

    click_mark(page, place, address)


@pytest.mark.full
def test_clicks_open_and_fold_methods_and_choose_nodes(page, address):
    opened(page, f"{address}/{TREE}&inside_tree_methods=SparseGPT")
    page.locator(".js-plotly-plot .point").first.wait_for()
    click(page, "method:wanda", "inside_tree_methods=Wanda")
    click(page, "wanda@2:4", "inside_tree_node=Wanda+2")
    click(page, "method:sparsegpt", "inside_model=toy&inside_tree_methods=Wanda")
    assert "SparseGPT" not in page.url
    click(page, "wanda@0.3", "inside_tree_node=Wanda+30")
    page.get_by_role("heading", name="Wanda 30 %, passages", exact=True).wait_for()


@pytest.mark.matrix(width=None)
@pytest.mark.parametrize("width", [400, 1280])
def test_names_of_rows_do_not_overlap_and_the_page_fits(page, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    opened(page, f"{address}/inside?inside_tab=Family+tree&inside_tree_family=Quantisation")
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".annotation-text").first.wait_for()
    settled(page)
    boxes = [name.bounding_box() for name in chart.locator(".annotation-text").all()]
    assert len(boxes) > 10
    assert all(one["y"] + one["height"] <= below["y"] + 1 for one, below in pairwise(boxes))
    left = chart.bounding_box()["x"]
    right = min(mark.bounding_box()["x"] for mark in chart.locator(".point").all())
    assert all(left - 1 <= box["x"] and box["x"] + box["width"] <= right + 1 for box in boxes)
    assert page.evaluate(OVERFLOW) <= 0
