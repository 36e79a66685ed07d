"""The cache of compressed models: what was not used for longest goes first, what is broken is made again."""

import os

from core.variants import REPORT, make_room


def kept(root, name, size, age):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0" * size)
    (folder / REPORT).write_text("{}")
    os.utime(folder / REPORT, (1e9 - age, 1e9 - age))


def test_the_least_recently_used_make_room(tmp_path):
    for name, age in (("old", 30), ("new", 10), ("older", 40), ("middle", 20)):
        kept(tmp_path, name, 1000, age)
    (tmp_path / "unfinished").mkdir()
    make_room(tmp_path, 2100)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["middle", "new"]
