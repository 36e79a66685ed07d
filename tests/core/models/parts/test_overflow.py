"""Activations beyond a limit of memory lie in files, with the same values."""

import pytest
import torch

from core.base.errors import StorageError
from core.models.parts import overflow
from core.models.parts.overflow import Overflow


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path))
    return tmp_path


def on_disk(tensor):
    return tensor.untyped_storage().filename is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_stay_and_views_share_their_memory(dtype, place):
    whole = torch.randn(4, 6, dtype=dtype)
    view = whole.view(2, 2, 6).transpose(1, 2)[1:]
    before, part = whole.clone(), view.clone()
    assert Overflow(0).store("a", [whole, view]) == [whole, view]
    assert on_disk(whole) and torch.equal(whole, before) and torch.equal(view, part)
    assert view.stride() == before.view(2, 2, 6).transpose(1, 2)[1:].stride()
    whole.zero_()
    assert not view.any()
    assert list((place / "shelf").iterdir()) == []  # the file has no name any more


def test_owners_stay_in_memory_up_to_the_limit_together():
    place = Overflow(250)
    first, second, third = (torch.zeros(25) for _ in range(3))  # 100 bytes each
    for owner, tensor in enumerate((first, second, third)):
        place.store(owner, [tensor, tensor.view(5, 5)])  # which counts once
    assert [on_disk(tensor) for tensor in (first, second, third)] == [False, False, True]
    assert place.store(0, [torch.zeros(1)]) == []  # less than before
    again = torch.zeros(25)
    assert place.store(3, [again]) == [] and not on_disk(again)
    assert place.store(2, [third]) == []  # there already
    assert Overflow().store("a", [again]) == [] and not on_disk(again)  # without a limit


def test_a_full_disk_is_one_sentence(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(overflow.os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"^The disk is full at .*; free some space\."):
        Overflow(0).store("a", [torch.zeros(25)])
