"""The map and the histogram of layers in a browser: a click chooses a matrix everywhere."""

import pytest
from playwright.sync_api import expect

from tests.e2e.actions import click_mark, opened, settled

pytestmark = [pytest.mark.e2e, pytest.mark.full]
VIEW = "inside?inside_model=smollm2-135m&inside_variant=gptq@4bit"


def cell(page, block, role):
    """Return the place in the window of a cell of the map."""
    chart = page.locator("[class*=st-key-inside_layer_map] .js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for(state="attached")
    return chart.evaluate(
        "(chart, [block, role]) => {"
        " const {xaxis, yaxis} = chart._fullLayout, box = chart.getBoundingClientRect();"
        " return [box.x + xaxis._offset + xaxis.d2p(block), box.y + yaxis._offset + yaxis.d2p(role)]; }",
        [block, role],
    )


def test_a_click_on_the_map_chooses_the_matrix(page, address):
    settled(opened(page, f"{address}/{VIEW}"))
    name = "model.layers.5.mlp.down_proj"
    click_mark(page, lambda: cell(page, 5, "down"), f"inside_matrix={name}")
    page.get_by_role("heading", name=f"Weights of {name}").wait_for()
    expect(page.get_by_role("combobox", name="Matrix")).to_have_value(name)


def loneliest(page):
    """Return the name of the matrix whose mark under the histogram is farthest from the others, and its place."""
    chart = page.locator("[class*=st-key-inside_layer_histogram] .js-plotly-plot").first
    chart.locator(".scatterlayer .point").first.wait_for(state="attached")
    chart.scroll_into_view_if_needed()
    return chart.evaluate(
        "chart => {"
        " const {xaxis, yaxis} = chart._fullLayout, box = chart.getBoundingClientRect();"
        " const {x, customdata} = chart._fullData.find(one => one.name === 'one matrix');"
        " const gap = n => Math.min(...x.filter((_, m) => m !== n).map(other => Math.abs(other - x[n])));"
        " const inner = [...x.keys()].filter(n => x[n] < Math.max(...x));"
        " const best = inner.reduce((one, other) => gap(one) >= gap(other) ? one : other);"
        " return [customdata[best][0], [box.x + xaxis._offset + xaxis.d2p(x[best]),"
        " box.y + yaxis._offset + yaxis.d2p(0)]]; }"
    )


def test_a_click_on_a_mark_of_the_histogram_chooses_the_matrix(page, address):
    settled(opened(page, f"{address}/{VIEW}"))
    name, _ = loneliest(page)
    click_mark(page, lambda: loneliest(page)[1], f"inside_matrix={name}")
    page.get_by_role("heading", name=f"Weights of {name}").wait_for()
