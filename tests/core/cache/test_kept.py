"""The user cache evicts the least recently used folder first and keeps no folder too large for it or its disk."""

import os
from types import SimpleNamespace

import pytest

from core.cache import disk, folders


def put(root, name, size, age):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0" * size)
    os.utime(folder, (1e9 - age, 1e9 - age))


def names(root):
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def test_least_recently_used_folders_are_evicted(tmp_path):
    for name, age in (("old", 30), ("new", 10), ("older", 40), ("middle", 20)):
        put(tmp_path, name, 1000, age)
    (tmp_path / ".unfinished-1").mkdir()
    put(tmp_path, ".abandoned-1", 1000, 10)
    folders.make_room(tmp_path, 2100)
    assert names(tmp_path) == [".unfinished-1", "middle", "new"]  # another process may be at the unfinished one


def test_a_new_folder_replaces_the_oldest_and_its_former_version(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CACHE_BYTES", 2100)
    for size in (900, 1000):
        folders.keep(tmp_path / "a", size, lambda place, size=size: (place / "file").write_bytes(b"0" * size))
    assert (tmp_path / "a" / "file").stat().st_size == 1000
    put(tmp_path, "older", 1000, 10)
    folders.keep(tmp_path / "b", 1000, lambda place: (place / "file").write_bytes(b"0" * 1000))
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_above_the_limit_is_kept_only_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CACHE_BYTES", 2100)
    put(tmp_path, "small", 1000, 10)
    for alone in (False, True):
        folders.keep(tmp_path / "huge", 9999, lambda place: (place / "file").write_bytes(b"0"), alone)
        assert names(tmp_path) == (["huge"] if alone else ["small"])


@pytest.mark.parametrize(
    ("free", "size", "kept"),
    [
        (6 * 2**30, 2**30, True),
        (6 * 2**30, 2**30 + 1, False),
        (2 * 10**9, 2 * 10**8, True),
        (2 * 10**9, 2 * 10**8 + 1, False),
        (0, 1, False),
    ],
)
def test_a_folder_is_kept_only_where_the_disk_has_room(free, size, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    folders.keep(tmp_path / "new", size, lambda place: (place / "file").write_bytes(b"0"))
    assert names(tmp_path) == ["new"] * kept
