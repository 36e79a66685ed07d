"""Display names of models, and which model a typed name means."""

import pytest

from core.base.errors import UserError
from core.models.names import display_names, has_revision, resolve_name, same_model, short_revision
from core.specs import PUBLISHED, UNKNOWN, ModelId
from core.store.bundled import read_measured

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
