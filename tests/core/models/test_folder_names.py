"""Folders of one last name: which of them a name means, and names that users give."""

import shutil

import pytest

from core.base.errors import UserError
from core.cache.folders import write_small
from core.models.kinds import folder
from core.models.names import short_revision
from core.models.sources import identify, identify_again, typed_name
from core.specs import ModelId
from tests.core.tiny import tiny


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Two folders of one last name with different weights."""
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    for seed, place in enumerate(("w3", "w4")):
        tiny(seed=seed).save_pretrained(tmp_path / place / "ckpt")
    return tmp_path / "w3" / "ckpt", tmp_path / "w4" / "ckpt"


def test_a_name_of_two_folders_is_rejected_with_both_paths(checkpoints):
    w3, w4 = checkpoints
    write_small(folder._file("ckpt"), str(w3).encode())  # as an earlier version did
    first = identify(str(w3))
    assert identify("ckpt") == first
    second = identify(str(w4))
    with pytest.raises(UserError) as caught:
        identify("ckpt")
    shorts = [short_revision(one.revision) for one in (first, second)]
    assert str(caught.value) == (
        f"ckpt is ambiguous: {w3} (ckpt@{shorts[0]}) or {w4} (ckpt@{shorts[1]}); "
        "give the path, or the name with its revision."
    )
    assert identify(f"ckpt@{shorts[0]}") == first and identify(f"ckpt@{shorts[1]}") == second
    assert identify(f"ckpt@{second.revision}") == second
    for source in (first, second):
        assert identify_again(source.id, source.revision) == source
        assert identify(typed_name(ModelId(source.id, source.revision))) == source
    with pytest.raises(UserError, match=r"^ckpt is at revision \w{8} or \w{8} on this machine, not at 0000;"):
        identify("ckpt@0000")


def test_a_name_is_free_if_the_other_folder_is_deleted_or_equal(checkpoints):
    w3, w4 = checkpoints
    first, second = identify(str(w3)), identify(str(w4))
    shutil.rmtree(w3)
    assert identify("ckpt") == second and typed_name(ModelId("ckpt", second.revision)) == "ckpt"
    shutil.copytree(w4, w3)
    assert identify(str(w3)).revision == second.revision != first.revision
    assert identify("ckpt").revision == second.revision
    (w4 / "config.json").unlink()  # no model any more
    assert identify("ckpt").folder == w3


def test_a_name_given_to_a_folder_finds_it(checkpoints):
    w3, w4 = checkpoints
    three = identify(str(w3), "three")
    assert identify(str(w4)).id == "ckpt" and identify("ckpt").folder == w4
    assert (three.id, three.folder, three.revision) == ("three", w3, identify(str(w3)).revision)
    assert identify("three") == three == identify_again("three", three.revision)
    assert identify(f"ckpt@{short_revision(three.revision)}", "again").id == "again"


def test_an_invalid_name_gives_one_sentence(checkpoints):
    folder = str(checkpoints[0])
    for name in ("a/b", "ckpt@1", "", "n" * 101):
        with pytest.raises(UserError, match=r"'.*' is not a model name; give 1 to 100 letters"):
            identify(folder, name)
    with pytest.raises(UserError, match=r"opt-125m is the name of a catalogue model; choose another\."):
        identify(folder, "opt-125m")
    with pytest.raises(UserError, match=r"smollm2-135m is not a folder\. Only a model in a folder can be named"):
        identify("smollm2-135m", "mine")


def test_a_name_of_another_checkpoint_is_rejected(checkpoints):
    w3, w4 = checkpoints
    identify(str(w3), "mine")
    with pytest.raises(UserError, match=rf"^mine is already the name of the model in {w3}; choose another\.$"):
        identify(str(w4), "mine")
    assert identify("mine").folder == w3
    shutil.rmtree(w3)
    assert identify(str(w4), "mine").folder == w4
