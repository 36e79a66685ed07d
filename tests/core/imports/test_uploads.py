"""Limits on what is uploaded."""

import os

import pytest

from core.base import paths
from core.base.errors import UserError
from core.imports import uploads
from core.imports.uploads import MOST_FILES, Upload, check, read_files


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(uploads, "TABLE_BYTES", 100)
    monkeypatch.setattr(uploads, "SAMPLES_BYTES", 150)


def refused(*files):
    with pytest.raises(UserError) as error:
        check(files)
    return str(error.value)


def test_upload_sizes_are_limited_and_samples_in_total(small):
    check([Upload("a.csv", b"x" * 100), Upload("a.jsonl", b"x" * 150)])
    assert "at most 0.0 MB are read" in refused(Upload("a.csv", b"x" * 101))
    assert "at most" in refused(Upload("results.json", b"x" * 101))
    assert "The samples have" in refused(Upload("a.jsonl", b"x" * 80), Upload("b.jsonl", b"x" * 80))


def test_number_and_names_of_files_are_limited():
    for name in ("a.pkl", "a", "csv", "a.csv.zip"):
        assert "cannot be imported; give a results_" in refused(Upload(name, b""))
    assert "0 files are given" in refused()
    assert f"give 1 to {MOST_FILES}" in refused(*[Upload("a.csv", b"")] * (MOST_FILES + 1))
    assert Upload("../../etc/a\x1b[0m.csv", b"").shown == "a?[0m.csv"
    assert len(Upload("x" * 500 + ".csv", b"").shown) <= 60


@pytest.mark.parametrize("name", ["a.csv", "results.json", "a.jsonl"])
def test_large_files_are_read_only_up_to_the_limit(small, tmp_path, monkeypatch, name):
    file, read, real = tmp_path / name, [], paths.read_at_most
    file.write_bytes(b"x" * 10_000)
    monkeypatch.setattr(uploads, "read_at_most", lambda path, size: read.append(size) or real(path, size))
    with pytest.raises(UserError, match="at most"):
        read_files([file])
    assert read == [151 if name == "a.jsonl" else 101]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_files([tmp_path / "b.csv"])


@pytest.mark.parametrize("name", ["a.csv", "results.json", "a.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "device", "file of the kernel"])
def test_a_special_file_is_rejected(tmp_path, name, kind):
    file = tmp_path / name
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if kind == "device" else "/proc/self/status")
    with pytest.raises(UserError, match=f"is a {kind}, not a regular file; give a file on a disk"):
        read_files([file])
