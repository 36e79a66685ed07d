"""Models from a folder, the catalogue and the default wheel are identified by name and content."""

import os
import shutil

import pytest

from core.base.errors import UserError
from core.models.sources import identify, identify_again
from tests.core.tiny import tiny

pytestmark = pytest.mark.usefixtures("cache")


def test_a_folder_is_identified_by_its_name_and_content(folder, tmp_path):
    source = identify(str(folder))
    assert (source.id, source.kind, source.folder) == ("my-llama", "folder", folder)
    assert source.revision.startswith("sha256:") and len(source.revision) == 19
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "my-llama")
    assert identify(str(copy)).revision == source.revision
    with (copy / "tokenizer_config.json").open("a") as settings:
        settings.write("\n")
    assert identify(str(copy)).revision != source.revision


def test_a_folder_never_takes_the_name_of_a_catalogue_model(folder):
    taken = folder.rename(folder.with_name("opt-125m"))
    assert identify(str(taken)).id == "opt-125m-folder"
    assert identify("opt-125m-folder").folder == taken


@pytest.mark.parametrize("name", ["Llama (1B)", "a@b", "x,y", ".hidden", "~root", "core", "é" * 127, "n" * 255])
def test_a_folder_may_have_any_name(folder, name, tmp_path, monkeypatch):
    place = folder.rename(folder.with_name(name))
    found = identify(str(place))
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / name).mkdir(parents=True)  # a folder that is no model
    monkeypatch.chdir(elsewhere)
    assert identify_again(found.id, found.revision) == found
    assert identify(found.id) == found
    (cache,) = {path.parent.parent for path in tmp_path.rglob("cache/folders/*")}
    assert cache == tmp_path / "cache"


def test_a_path_that_is_no_text_is_rejected_with_a_sentence(folder):
    with pytest.raises(UserError, match=r"is not UTF-8"):
        identify(str(folder.rename(folder.with_name(os.fsdecode(b"\xff")))))


def test_a_run_finds_its_own_folder_among_equal_names(folder, tmp_path, monkeypatch):
    first = identify(str(folder))
    other = shutil.copytree(folder, tmp_path / "elsewhere" / "my-llama")
    tiny(vocab_size=257, seed=1).save_pretrained(other)
    second = identify(str(other))
    monkeypatch.chdir(other.parent)
    assert identify("my-llama") == second != first
    assert identify_again(first.id, first.revision) == first
    shutil.rmtree(folder)
    assert identify_again(first.id, first.revision) == second  # by its revision


def test_an_unknown_model_is_rejected_with_a_sentence():
    for name, sentence in (
        ("smollm2-135", "did you mean 'smollm2-135m'"),
        ("./no-such-folder", "There is no folder './no-such-folder'"),
        ("opt-175b", "no public weights.*on request"),
        ("nothing-like-it-at-all", "Unknown model"),
    ):
        with pytest.raises(UserError, match=sentence):
            identify(name)
    for name in ("n" * 300, "~nouser/x", "/" + "n" * 300, "a\0b", "\ud800", ""):  # which cannot be paths
        with pytest.raises(UserError, match=r"There is no|Unknown model|has no public"):
            identify(name)
