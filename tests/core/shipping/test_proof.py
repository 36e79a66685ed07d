"""The check of an export: its comparison, its reason if it is missing, and its separate process."""

import ast
import json
from pathlib import Path

import pytest
import torch

from core.base.paths import PROJECT
from core.shipping import proof, runtimes
from core.shipping.base import Runtime
from core.shipping.formats import FORMATS
from core.shipping.gguf.format import USUAL
from core.shipping.proof import ExportCheck, compared, read_proof, verify_export
from tests.core.shipping.exported import bpe, exported, made

OURS = torch.tensor([-0.5, -1.5, -3.0, -4.0, -5.0, -9.0])


def answers(ids=(1, 2), top=((0, -0.5), (1, -1.5))):
    return {"prompts": [{"ids": list(ids), "top": list(top)}], "tokens_per_second": 7.0, "versions": {"it": "1"}}


def test_largest_difference_and_different_tokens_are_reported():
    same = compared(answers(), [([1, 2], OURS)])
    assert same.same_tokens and same.difference == 0 and same.same_first == 1
    assert same.words() == (
        "Checked with it 1: the likeliest next token is the same for 1 of 1 prompts. Log-probabilities of the five "
        "likeliest differ by at most 0 (a factor of 1 in probability). It decodes 7 tokens per second."
    )
    other = compared(answers((1, 3), ((1, -1.0), (5, -9.25))), [([1, 2], OURS)])
    assert other.difference == pytest.approx(0.5) and not other.same_tokens and other.same_first == 0
    assert other.words().startswith(
        "Checked with it 1, with other tokens: the likeliest next token is the same for 0 of"
    )
    assert "differ by at most 0.5 (a factor of 1.65 in probability)" in other.words()


def test_usual_differences_are_given_only_for_measured_types():
    huggingface, gguf, _ = FORMATS
    words = gguf.usual_words("Q8_0")
    assert words == "Log-probabilities in Q8_0 differed by 0.18 to 0.32 in four exports of the default model."
    assert gguf.usual_words("Q5_1") == "No usual difference of log-probabilities was measured for Q5_1."
    assert huggingface.usual_words("float32") == ""


def test_usual_differences_match_the_documentation():
    table = [line.split("|")[1:-1] for line in (PROJECT / "docs" / "export.md").read_text().splitlines()]
    rows = [row for row in table if len(row) == 10 and row[0].strip().startswith("`")]
    for place, kind in ((3, "F16"), (6, "Q8_0"), (9, "Q4_0")):
        found = [float(row[place]) for row in rows]
        assert USUAL[kind] == (min(found), max(found)) and len(found) == 4


def test_a_missing_runtime_and_a_file_that_it_cannot_read_are_reported(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF and no more")
    missing, found = (
        verify_export(Runtime("in_llama_cpp", (name,)), tmp_path / "model.gguf", [], 1, lambda: None)
        for name in ("no-such-package", "xllamacpp")
    )
    assert missing.words() == (
        "Export not checked: install no-such-package (pip install '.[export]' in a checkout of Slimscope) to check it."
    )
    assert found.reason.startswith("xllamacpp could not read it (exit code 1): RuntimeError: ")


def test_invalid_check_files_are_ignored(tmp_path):
    assert read_proof(tmp_path) is None
    (tmp_path / proof.FILE).write_text("{}x")
    assert read_proof(tmp_path) is None
    (tmp_path / proof.FILE).write_text(ExportCheck(reason="why.").model_dump_json())
    assert read_proof(tmp_path).words() == "Export not checked: why."


@pytest.mark.parametrize("script", sorted({form.runtime.script for form in FORMATS}))
def test_a_runtime_imports_nothing_of_this_project(script):
    parsed = ast.parse(Path(runtimes.__file__).with_name(f"{script}.py").read_text())
    imported = [node for node in ast.walk(parsed) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {
        name.split(".")[0]
        for node in imported
        for name in (getattr(node, "module", None) or "", *(a.name for a in node.names))
    }
    assert imported and not names & {"core", "dashboard", "tests", "benchmarks"}


@pytest.mark.full
def test_plain_transformers_reads_blocks_with_custom_code(tmp_path):
    model, result = made("slicegpt@0.3")
    shown = exported(model, result, bpe(), tmp_path / "out", "huggingface", "fp32")
    assert shown.same_tokens and shown.difference < 1e-3 and list(shown.versions) == ["transformers"]
    assert shown.words() in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / proof.FILE).read_text())["prompts"] == len(proof.PROMPTS)
