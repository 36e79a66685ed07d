"""A new score, runtime stage and export format appear wherever the project's own do.

A new module kind is tested in `tests/core/models/test_module_kinds.py`.
"""

import json
import re

import pytest
from safetensors import safe_open

COMMANDS = """
from core.cli.app import main
for arguments in {commands!r}:
    print("rc", main(arguments))
"""
PAGES = """
from streamlit.testing.v1 import AppTest
from core.base.paths import PROJECT

def texts(app):
    return "\\n".join(str(one.value) for one in (*app.markdown, *app.caption, *app.subheader))

app = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=100)
app.query_params["chain"] = "row-magnitude@0.25+rounded-inputs@8bit"
app.run()
app.switch_page("run/view.py").run()
assert not app.exception, app.exception
print([field.value for field in app.text_input if field.label == "Chain of stages"])
print([field.value for field in app.selectbox if "Row magnitude" in str(field.options)])
app.switch_page("methods/view.py").run()
assert not app.exception, app.exception
print("Row magnitude" in texts(app), "Rounded inputs" in texts(app))
"""
CONTRACT = """
import pytest, sys
from core.base.paths import PROJECT
sys.exit(pytest.main([
    "--rootdir", str(PROJECT), "-c", str(PROJECT / "pyproject.toml"), "-p", "no:cacheprovider", "--tier", "full",
    str(PROJECT / "tests/core/contract/test_contract.py"), "-k", "row-magnitude or rounded-inputs",
]))
"""


def commands(run, *commands):
    """Return exit status and output of each command, all in one process."""
    parts = run(COMMANDS.format(commands=[list(one) for one in commands])).split("rc ")
    statuses = [int(part.split("\n", 1)[0]) for part in parts[1:]]
    outputs = [parts[0], *(part.split("\n", 1)[1] for part in parts[1:-1])]
    return list(zip(statuses, outputs, strict=True))


def test_the_command_line_runs_new_methods_and_saves_a_new_format(run, tmp_path):
    chains = [f"row-magnitude@0.5{runtime}" for runtime in ("", "+rounded-inputs@4bit", "+rounded-inputs@8bit")]
    asked = [("run", "./tiny", chain, "--perplexity", "text.txt@32:4", "--json") for chain in chains]
    # The same number of the cached variant, which has the hooks again, and of a new one.
    other = ("run", "./tiny", chains[1], "--perplexity", "text.txt@16:4", "--json")
    to_save = ("row-magnitude@0.5", "rounded-inputs@8bit", "rounded-inputs@8bit+row-magnitude@0.5")
    text = ("--perplexity", "text.txt@32:4")
    saved = [("run", "./tiny", one, *text, "--save", str(tmp_path / one), "--format", "small-files") for one in to_save]
    done = commands(run, *asked, other, (*other, "--force"), ("methods",), *saved)
    assert [status for status, _ in done] == [0] * 6 + [0, 2, 2]
    *first, cached, fresh = [json.loads(out)["measurements"] for _, out in done[:5]]
    assert len({row["value"] for [row] in first}) == 3
    assert [row["value"] for row in cached] == [row["value"] for row in fresh]
    listed = done[5][1]
    assert "row-magnitude" in listed and "rounded-inputs" in listed
    files = sorted((tmp_path / to_save[0]).glob("*.safetensors"))
    assert len(files) > 1 and all(safe_open(file, "pt").keys() for file in files)
    proof = json.loads((tmp_path / to_save[0] / "proof.json").read_text())
    assert proof["same_tokens"] and proof["difference"] < 1e-4
    assert not (tmp_path / to_save[1]).exists()


@pytest.mark.full
def test_the_pages_offer_the_new_methods(run):
    assert run(PAGES).splitlines()[-3:] == [
        "['row-magnitude@0.25+rounded-inputs@8bit']",
        "['row-magnitude', 'rounded-inputs']",
        "True True",
    ]


@pytest.mark.full
def test_the_contract_tests_check_the_new_methods(run):
    out = run(CONTRACT)
    assert re.match(r"\d{2} passed, \d+ deselected", out.splitlines()[-1])
