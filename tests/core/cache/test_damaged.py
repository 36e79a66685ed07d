"""What is only a cache is made again where it is damaged, and no number changes."""

import json
import os
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from core.cache import folders
from core.cli.app import main
from tests.core.commands import RUN

DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "last byte gone": lambda content: content[:-1],
    "one bit off": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "another format": lambda content: b"\xff" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_small_file_is_recomputed(damage, tmp_path, caplog):
    caplog.set_level("INFO", folders.__name__)
    file = tmp_path / "d" / "x"
    assert folders.cached_file(file, lambda: b"what was found") == b"what was found"
    assert folders.cached_file(file, lambda: pytest.fail("made again")) == b"what was found"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
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


def number(capsys, *more):
    """Run a variant with a perplexity that is not stored, and return it."""
    assert main([*RUN, *more, "--json"]) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    assert "damaged" not in captured.err and "Traceback" not in captured.err
    return {row["protocol"]["windows"]: row["value"] for row in json.loads(captured.out)["measurements"]}


def edit(file, change):
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def cut(file, share):
    """Leave the beginning of a file, in a new one: what has the old one mapped keeps it whole."""
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: int(share * len(content))])


def tensors(file):
    return {name: tensor.clone() for name, tensor in load_file(file).items()}


def rewrite(file, change):
    state = tensors(file)
    file.unlink()
    save_file(change(state), file, metadata={"format": "pt"})


def without_a_tensor(state):
    return {name: tensor for name, tensor in state.items() if name != "model.layers.1.mlp.down_proj.weight"}


def with_a_tensor_of_half_precision(state):
    return state | {"model.layers.1.mlp.down_proj.weight": state["model.layers.1.mlp.down_proj.weight"].half()}


def flip(file):
    """Change one bit of a file, in a new one: what has the old one mapped keeps it whole."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 + 3] ^= 0x40
    file.unlink()
    file.write_bytes(content)


VARIANT = {
    "weights with a changed bit": ("model.safetensors", flip),
    "a tensor in another dtype": ("model.safetensors", lambda file: rewrite(file, with_a_tensor_of_half_precision)),
    "weights without a tensor": ("model.safetensors", lambda file: rewrite(file, without_a_tensor)),
    "weights cut off": ("model.safetensors", lambda file: cut(file, 0.5)),
    "weights empty": ("model.safetensors", lambda file: cut(file, 0)),
    "configuration without architectures": ("config.json", lambda file: edit(file, lambda c: c.pop("architectures"))),
    "configuration of another kind": ("config.json", lambda file: file.write_text("[]")),
    "configuration of other sizes": ("config.json", lambda file: edit(file, lambda c: c.update(hidden_size=16))),
    "report empty": ("result.json", lambda file: cut(file, 0)),
    "report with a changed bit": ("result.json", flip),
    "checksums cut off": ("checksums.json", lambda file: cut(file, 0.5)),
    "no checksums, as of an earlier version": ("checksums.json", lambda file: file.unlink()),
}


@pytest.mark.parametrize("kind", VARIANT)
@pytest.mark.usefixtures("machine")
def test_a_damaged_variant_is_recomputed(kind, capsys, tmp_path):
    name, damage = VARIANT[kind]
    before = number(capsys)
    (folder,) = (tmp_path / "cache" / "variants").glob("[!.]*[!k]")
    whole = tensors(folder / "model.safetensors")
    damage(folder / name)
    after = number(capsys, "--perplexity", "text.txt@32:3")
    whole_again = tensors(folder / "model.safetensors")
    assert all((whole_again[key] == tensor).all() for key, tensor in whole.items())
    assert after.keys() == before.keys() | {3}
    assert main([*RUN, "--perplexity", "text.txt@32:3", "--force", "--json"]) == 0
    forced = {r["protocol"]["windows"]: r["value"] for r in json.loads(capsys.readouterr().out)["measurements"]}
    assert forced[3] == after[3]


@pytest.mark.usefixtures("machine")
def test_a_folder_in_place_of_a_small_file_is_replaced(capsys, tmp_path):
    before = number(capsys)
    for file in (tmp_path / "cache" / "tokens").iterdir():
        file.unlink()
        (file / "inside").mkdir(parents=True)
    assert number(capsys, "--force") == before
    assert all(file.is_file() for file in (tmp_path / "cache" / "tokens").iterdir())


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["tokens", "facts", "folders"])
@pytest.mark.usefixtures("machine")
def test_a_run_repairs_damaged_cache_files(kind, damage, capsys, tmp_path):
    before = number(capsys)
    files = list((tmp_path / "cache" / kind).iterdir())
    assert files
    for file in files:
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert number(capsys, "--force") == before
    assert all(folders.read_small(file) is not None for file in files)
