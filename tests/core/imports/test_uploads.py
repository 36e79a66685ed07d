"""Limits on what is uploaded."""

import pytest

from core.errors import UserError
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


def test_sizes_are_limited_and_those_of_samples_together(small):
    check([Upload("a.csv", b"x" * 100), Upload("a.jsonl", b"x" * 150)])
    assert "at most 0.0 MB are read" in refused(Upload("a.csv", b"x" * 101))
    assert "at most" in refused(Upload("results.json", b"x" * 101))
    assert "The samples have" in refused(Upload("a.jsonl", b"x" * 80), Upload("b.jsonl", b"x" * 80))


@pytest.mark.parametrize("name", ["a.pkl", "a.exe", "a", "csv", "a.csv.zip"])
def test_other_kinds_of_files_are_refused(name):
    assert "is not one of the files that can be imported" in refused(Upload(name, b""))


def test_the_number_of_files_is_limited():
    assert "0 files are given" in refused()
    assert f"give 1 to {MOST_FILES}" in refused(*[Upload("a.csv", b"")] * (MOST_FILES + 1))


def test_a_name_is_shown_without_its_folders_and_short():
    assert Upload("../../etc/a\x1b[0m.csv", b"").shown == "a?[0m.csv"
    assert len(Upload("x" * 500 + ".csv", b"").shown) <= 60


def test_a_large_file_is_refused_before_it_is_read(small, tmp_path, monkeypatch):
    file = tmp_path / "a.csv"
    file.write_bytes(b"x" * 101)
    monkeypatch.setattr(type(file), "read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(UserError, match="at most"):
        read_files([file])


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_files([tmp_path / "a.csv"])
