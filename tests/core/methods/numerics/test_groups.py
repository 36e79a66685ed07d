"""The error for group sizes that do not divide the inputs lists those that do."""

from types import SimpleNamespace

import pytest

from core.base.errors import UserError
from core.methods.numerics.groups import check_groups


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((128, 1032), "Groups of 64 do not divide the 1032 inputs of down; choose 0, the whole row."),
        ((96, 160), "Groups of 64 do not divide the 96 inputs of down; choose 16, 32 or 0, the whole row."),
    ],
)
def test_valid_group_sizes_are_named(widths, message):
    linears = [SimpleNamespace(name="down", shape=(4, width)) for width in widths]
    with pytest.raises(UserError) as error:
        check_groups(linears, 64)
    assert str(error.value) == message
    check_groups(linears, 0)
