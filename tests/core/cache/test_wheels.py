"""Wheels are checked before they are unpacked, and what is made from them appears whole or not at all."""

import errno
import os
import threading
import zipfile
from pathlib import Path

import pytest

from core.base.errors import CancelledError, UserError
from core.cache import wheels
from core.cache.folders import build_once, cached_text
from core.cache.wheels import Wheel, download
from tests.core.cache.wheels import only_from, put_wheel


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is the only place pip looks in; `make(members)` puts a wheel there and returns its card."""
    folder = only_from(tmp_path / "index", monkeypatch)
    return lambda content: put_wheel(folder, "files-only", content)


def test_pip_downloads_a_wheel(index, tmp_path):
    wheel = index({"data/a.txt": "A", "data/b.txt": "B", "code.py": "raise SystemExit"})
    work = tmp_path / "work"
    work.mkdir()
    seen = []
    archive = download(wheel, work, lambda *step: seen.append(step))
    assert seen[-1] == ("download", wheel.size, wheel.size, "files-only==1.0")
    with zipfile.ZipFile(archive) as whole:
        assert "data/b.txt" in whole.namelist()


def test_a_download_that_is_not_the_wheel_is_deleted_and_not_cached(index, tmp_path, monkeypatch):
    wheel, name = index({"a": "A"}), "files_only-1.0-py3-none-any.whl"
    asked, start, content = [], wheels.subprocess.Popen, (tmp_path / "index" / name).read_bytes()
    monkeypatch.setattr(
        wheels.subprocess, "Popen", lambda command, **more: (asked.append(command), start(command, **more))[1]
    )

    def rejected(wheel, words):
        with pytest.raises(UserError, match=words) as error:
            build_once(tmp_path / "made" / "it", lambda folder: download(wheel, folder) and None)
        assert "network" not in str(error.value)
        assert [path.name for path in (tmp_path / "made").iterdir()] == ["it.lock"]

    rejected(wheel.model_copy(update={"sha256": "0" * 64}), r"files-only==1\.0 has sha256 .* instead of 000000000000")
    assert "--no-cache-dir" in asked[0]  # pip would hand the same file out again
    (tmp_path / "index" / name).write_bytes(b"<html>Sign in to go on</html>")
    rejected(wheel, r"The download of files-only==1\.0 is not a zip archive and was deleted")
    (tmp_path / "index" / name).write_bytes(content)
    (tmp_path / "index" / "index.html").write_text(f'<a href="{name}#sha256={"0" * 64}">{name}</a>')
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index" / "index.html"))
    rejected(wheel, "has another sha256 than the index reports and was deleted")


def test_an_unreachable_package_index_gives_one_sentence(index, tmp_path):
    absent = Wheel(name="not-there", version="1.0", size=1, sha256="0", licence="MIT")
    with pytest.raises(UserError, match=r"from the Python package index failed; check the network"):
        download(absent, tmp_path)


def test_a_download_can_be_cancelled_and_leaves_nothing(index, tmp_path):
    wheel = index({"a": "A"})

    def stop(*step):
        raise CancelledError

    with pytest.raises(CancelledError):
        build_once(tmp_path / "made" / "it", lambda folder: download(wheel, folder, stop) and None)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["it.lock"]


def test_two_processes_create_a_folder_once(tmp_path):
    calls, started = [], threading.Event()

    def make(folder):
        calls.append(folder)
        started.wait(0.2)
        (folder / "x").write_text("done")

    threads = [threading.Thread(target=build_once, args=(tmp_path / "f", make)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and (tmp_path / "f" / "x").read_text() == "done"


@pytest.mark.parametrize(
    ("code", "sentence"), [(errno.ENOSPC, "The disk is full"), (errno.EROFS, "is not writable; set SLIMSCOPE_CACHE")]
)
def test_a_full_disk_or_an_unwritable_cache_gives_a_sentence(tmp_path, code, sentence):
    def make(folder):
        raise OSError(code, "as the system says it")

    with pytest.raises(UserError, match=sentence):
        build_once(tmp_path / "f", make)
    assert not (tmp_path / "f").exists()


def test_files_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".f-killed").mkdir()
    (tmp_path / ".other-running").mkdir()
    build_once(tmp_path / "f", lambda folder: None)
    assert {path.name for path in tmp_path.iterdir()} == {"f", "f.lock", ".other-running"}


def test_a_cached_text_is_recomputed_if_its_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    file, calls = tmp_path / "x", []

    def compute():
        calls.append(1)
        return file.read_text()

    file.write_text("one")
    assert [cached_text("t", [file], compute) for _ in range(2)] == ["one", "one"]
    file.write_text("other")
    assert cached_text("t", [file], compute) == "other" and len(calls) == 2
    assert cached_text("another fact", [file], lambda: "its own") == "its own"


def test_a_folder_that_vanishes_while_it_is_counted_has_no_bytes(tmp_path, monkeypatch):
    (tmp_path / "kept").write_bytes(b"12345")
    (tmp_path / "gone").mkdir()
    scan = os.scandir

    def scandir(folder):
        if Path(folder).name == "gone":
            raise FileNotFoundError(folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert wheels._bytes_in(tmp_path) == 5
