"""Display names of models and of folders with one last name, and which model a typed name means."""

import shutil

import pytest

from core.base.errors import UserError
from core.cache.folders import write_small
from core.models.kinds import folder
from core.models.names import display_names, has_revision, resolve_name, same_model, short_revision
from core.models.sources import identify, identify_again, typed_name
from core.specs import PUBLISHED, UNKNOWN, ModelId
from core.store.bundled import read_measured
from tests.core.tiny import tiny

W3, W4 = ModelId("ckpt", "sha256:131c884a77d0"), ModelId("ckpt", "sha256:9f00aa112233")
BUNDLED = ("smollm2-135m", "gemma3-270m")
OTHER = ModelId("other", "sha256:131c884a77d0")
FROM_PAPERS, IMPORTED = ModelId("ckpt", PUBLISHED), ModelId("ckpt", UNKNOWN)


@pytest.mark.parametrize(
    ("revision", "short"),
    [
        ("sha256:131c884a77d0", "131c884a"),
        ("0123456789abcdef0123456789abcdef01234567", "01234567"),
        ("some-wheel==0.10.2", "0.10.2"),
        (UNKNOWN, UNKNOWN),
        ("r", "r"),
    ],
)
def test_a_revision_is_shortened_and_a_version_is_not(revision, short):
    assert short_revision(revision) == short


def test_names_have_digits_if_there_are_two_revisions():
    assert display_names([W3, OTHER]) == {W3: "ckpt", OTHER: "other"}
    assert display_names([W3, W4, OTHER]) == {W3: "ckpt@131c884a", W4: "ckpt@9f00aa11", OTHER: "other"}


def test_rows_without_a_revision_belong_to_the_only_known_one():
    assert set(display_names([W3, FROM_PAPERS, IMPORTED]).values()) == {"ckpt"}
    assert set(display_names([FROM_PAPERS, IMPORTED]).values()) == {"ckpt"}
    names = display_names([W3, W4, FROM_PAPERS, IMPORTED])
    assert names[FROM_PAPERS] == "ckpt@published" and names[IMPORTED] == "ckpt@unknown"
    assert len(set(names.values())) == 4


def test_bundled_rows_of_a_model_have_one_revision_and_show_its_name_alone():
    models = {one.variant.model_id for one in read_measured().results.values()}
    assert {model.name: name for model, name in display_names(models).items()} == {one: one for one in BUNDLED}
    assert len(models) == len(BUNDLED)


def test_no_two_models_have_the_same_display_name():
    alike = ModelId("ckpt", "sha256:131c884a0000")  # the first eight digits of W3, too
    taken = ModelId("ckpt@9f00aa11", "sha256:555555555555")  # a folder that has the display name of W4
    names = display_names([W3, alike, W4, taken])
    assert len(set(names.values())) == 4
    assert names[W3] == "ckpt@sha256:131c884a77d0" and names[taken] == "ckpt@9f00aa11"


def test_checkpoints_are_distinguished_by_their_revision():
    assert same_model(W3, W3) and same_model(W3, IMPORTED) and same_model(FROM_PAPERS, W3)
    assert not same_model(W3, W4) and not same_model(W3, OTHER)


def test_four_digits_identify_a_revision():
    for text in ("131c", "131c884a", "131c884a77d0", "sha256:131c884a77d0"):
        assert has_revision(W3, text) and not has_revision(W4, text)
    assert not any(has_revision(W3, text) for text in ("", "131", "131d", "131c884a77d00"))


def test_a_typed_name_matches_one_model_or_is_rejected():
    names = display_names([W3, W4, OTHER])
    assert resolve_name("ckpt@131c", names) == resolve_name("ckpt@131c884a", names) == "ckpt@131c884a"
    assert resolve_name("other@131c884a", names) == "other"  # of a link from when there was another
    with pytest.raises(UserError, match=r"^'ckpt' is ambiguous; give ckpt@131c884a or ckpt@9f00aa11\.$"):
        resolve_name("ckpt", names)
    with pytest.raises(UserError, match=r"'ckpt@7777'; there are results of ckpt@131c884a, ckpt@9f00aa11, other\.$"):
        resolve_name("ckpt@7777", names)


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
