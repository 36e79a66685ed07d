"""The marker of each method as a small picture in its colour, different from all others."""

import re
from base64 import b64decode

import pytest

from core.methods.structured.slimllm import SlimLLM
from core.registry import STAGES
from dashboard.charts.elements.style import BARS, CORNERS, DARK, DASHES, LIGHT, look, swatch


def picture(method, theme):
    (source,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', swatch(method, theme))
    return b64decode(source).decode()


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_method_has_its_own_swatch_in_its_colour(theme):
    drawn = {method.name: picture(method, theme) for method in STAGES}
    assert len(set(drawn.values())) == len(STAGES)
    assert all(look(name, theme).color in svg for name, svg in drawn.items())


def test_every_marker_and_dash_is_drawn():
    styles = [look(method.name, LIGHT) for method in STAGES]
    assert {style.symbol for style in styles} <= {*CORNERS, *BARS, "circle"} | {"square"}
    assert {style.dash for style in styles} <= {*DASHES, "solid"}
    assert "<circle" not in picture(SlimLLM, LIGHT)
