"""What is only a cache is made again where it is damaged, which checksums of folders and streams show."""

import os
from pathlib import Path

import pytest

from core.base.paths import cached_variant
from core.cache import disk, folders
from core.engine.runs import run
from core.engine.variants import load_cached
from core.request.complete import complete
from core.request.settings import RunSettings
from core.specs import Perplexity
from core.store.store import Store

DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "last byte gone": lambda content: content[:-1],
    "one bit off": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "another format": lambda content: b"\xff" * 100,
}


@pytest.mark.parametrize("damage", [*DAMAGES, "a folder in its place"])
def test_a_damaged_small_file_is_recomputed(damage, tmp_path, caplog):
    caplog.set_level("INFO", folders.__name__)
    file = tmp_path / "d" / "x"
    assert folders.cached_file(file, lambda: b"what was found") == b"what was found"
    assert folders.cached_file(file, lambda: pytest.fail("made again")) == b"what was found"
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder in its place":
        (file / "inside").mkdir(parents=True)
    else:
        file.write_bytes(DAMAGES[damage](content))
    assert folders.cached_file(file, lambda: b"what is found now") == b"what is found now"
    assert folders.cached_file(file, lambda: pytest.fail("made again")) == b"what is found now"
    (record,) = caplog.records
    assert "is damaged and will be replaced" in record.getMessage()


def test_files_are_synced_before_their_rename(tmp_path, monkeypatch):
    steps, sync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append(os.fstat(number).st_size), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (steps.append("renamed"), replace(*paths)))
    folders.put(tmp_path / "x", b"content")
    assert steps == [7, "renamed"]
    folders.build_once(tmp_path / "folder", lambda place: (place / "file").write_bytes(b"four"))
    assert sorted(steps[2:]) == [4, len((tmp_path / "folder" / "checksums.json").read_bytes())]  # in any order
    monkeypatch.setattr(os, "fsync", lambda number: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folders.put(tmp_path / "x", b"other")
    assert (tmp_path / "x").read_bytes() == b"content" and len(list(tmp_path.iterdir())) == 3


def cut(file):
    """Leave the first half of a file, in a new one: what has the old one mapped keeps it whole."""
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])


def flip(file):
    """Change one bit of a file, in a new one."""
    content = bytearray(file.read_bytes())
    content[3 * len(content) // 4] ^= 0x40
    file.unlink()
    file.write_bytes(content)


DAMAGED = {
    "weights with a changed bit": ("model.safetensors", flip),
    "report with a changed bit": ("result.json", flip),
    "checksums cut off": ("checksums.json", cut),
    "no checksums, as of an earlier version": ("checksums.json", Path.unlink),
}
UNREADABLE = {  # whose checksums match
    "weights cut off": ("model.safetensors", cut),
    "configuration of another kind": ("config.json", lambda file: file.write_text("[]")),
    "report empty": ("result.json", lambda file: file.write_text("")),
}


@pytest.mark.parametrize("kind", [*DAMAGED, *UNREADABLE])
@pytest.mark.usefixtures("machine")
def test_a_damaged_variant_is_not_loaded(kind):
    asked = complete("./tiny", "magnitude@0.5", RunSettings(perplexity=[Perplexity.parse("text.txt@32:2")]))
    run(asked, Store())
    folder = cached_variant(asked.variant.key)
    assert load_cached(asked.variant) is not None
    name, damage = (DAMAGED | UNREADABLE)[kind]
    damage(folder / name)
    if kind in UNREADABLE:
        (folder / disk.NAME).unlink()
        (folder / disk.NAME).write_bytes(disk.digests(folder))
    assert load_cached(asked.variant) is None and not folder.exists()


@pytest.fixture
def built(tmp_path):
    def make(place):
        (place / "inner").mkdir()
        (place / "inner" / "text").write_text("words")
        (place / "weights").write_bytes(b"0123")

    return folders.build_once(tmp_path / "folder", make)


def test_a_folder_is_intact_until_a_bit_of_any_file_changes(built):
    for name in ("weights", "inner/text", disk.NAME):
        assert disk.intact(built)
        before = (built / name).read_bytes()
        flip(built / name)
        assert not disk.intact(built), name
        (built / name).write_bytes(before)
    for unreadable in (b"", b"[]", b"5", b"{", b"\xff"):
        before = (built / disk.NAME).read_bytes()
        (built / disk.NAME).write_bytes(unreadable)
        assert not disk.intact(built), unreadable
        (built / disk.NAME).write_bytes(before)
    (built / "weights").unlink()
    assert not disk.intact(built)
    assert disk.intact(built, lambda name: name == "inner/text")


def test_folders_of_earlier_versions_get_checksums_at_first_use(built):
    (built / disk.NAME).unlink()
    assert not disk.intact(built)
    folders.build_once(built, lambda place: pytest.fail("made again"))
    assert disk.intact(built)


def test_stream_ends_with_its_digest(tmp_path):
    file = tmp_path / "state"
    with folders.replacing(file) as stream:
        stream.write(b"content")
        disk.end_with_digest(stream)
    assert file.read_bytes()[:7] == b"content" and disk.ends_with_digest(file)
    for damaged in (b"", b"content", file.read_bytes()[:-1], b"C" + file.read_bytes()[1:]):
        file.write_bytes(damaged)
        assert not disk.ends_with_digest(file)
