"""Checksums of folders and streams of the cache."""

import pytest

from core.cache import disk, folders
from tests.core.cache.test_damaged import flip


@pytest.fixture
def folder(tmp_path):
    def make(place):
        (place / "inner").mkdir()
        (place / "inner" / "text").write_text("words")
        (place / "weights").write_bytes(b"0123")

    return folders.build_once(tmp_path / "folder", make)


def test_a_folder_is_intact_until_a_bit_of_any_file_changes(folder):
    for name in ("weights", "inner/text", disk.NAME):
        assert disk.intact(folder)
        before = (folder / name).read_bytes()
        flip(folder / name)
        assert not disk.intact(folder), name
        (folder / name).write_bytes(before)
    for unreadable in (b"", b"[]", b"5", b"{", b"\xff"):
        before = (folder / disk.NAME).read_bytes()
        (folder / disk.NAME).write_bytes(unreadable)
        assert not disk.intact(folder), unreadable
        (folder / disk.NAME).write_bytes(before)
    (folder / "weights").unlink()
    assert not disk.intact(folder)
    assert disk.intact(folder, lambda name: name == "inner/text")


def test_folders_of_earlier_versions_get_checksums_at_first_use(folder):
    (folder / disk.NAME).unlink()
    assert not disk.intact(folder)
    folders.build_once(folder, lambda place: pytest.fail("made again"))
    assert disk.intact(folder)


def test_stream_ends_with_its_digest(tmp_path):
    file = tmp_path / "state"
    with folders.replacing(file) as stream:
        stream.write(b"content")
        disk.end_with_digest(stream)
    assert file.read_bytes()[:7] == b"content" and disk.ends_with_digest(file)
    for damaged in (b"", b"content", file.read_bytes()[:-1], b"C" + file.read_bytes()[1:]):
        file.write_bytes(damaged)
        assert not disk.ends_with_digest(file)
