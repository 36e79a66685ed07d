"""The program that takes pictures of the pages, on one state at one width."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from tests.e2e.browser import require_chromium
from tests.tools.programs import run_program

pytestmark = [pytest.mark.e2e, pytest.mark.full]


def test_a_state_is_captured_in_light_and_dark(tmp_path):
    require_chromium()
    with ThreadPoolExecutor(1) as pool:  # the thread of the browser tests runs Playwright already
        code = pool.submit(run_program, "tools.screenshots", tmp_path, "methods", "--width", 400).result()
    pictures = {file.name: Image.open(file) for file in tmp_path.iterdir()}
    assert code == 0 and pictures.keys() == {"methods-400-light.png", "methods-400-dark.png"}
    light, dark = (
        pictures[f"methods-400-{scheme}.png"].convert("L").getpixel((200, 450)) for scheme in ("light", "dark")
    )
    assert all(picture.width == 400 and picture.height > 900 for picture in pictures.values())
    assert light > 128 > dark
