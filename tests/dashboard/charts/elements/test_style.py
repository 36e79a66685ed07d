"""Charts look like the pages that they are on."""

import tomllib

import pytest

from core.base.paths import PROJECT
from dashboard.charts.elements.style import DARK, LIGHT


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_charts_and_pages_have_the_same_colours(theme):
    page = tomllib.loads((PROJECT / "dashboard" / ".streamlit" / "config.toml").read_text())["theme"][theme.name]
    assert (page["backgroundColor"], page["textColor"]) == (theme.paper, theme.text)
    assert tuple(page["chartCategoricalColors"]) == theme.palette
