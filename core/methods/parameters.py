"""Parameters of methods, from which forms and options are generated."""

import re

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from core.amount import WHOLE
from core.specs import Frozen

RATIO_STEP = 0.05  # of a block's ratio


class MethodParameters(Frozen):
    """A method's parameters: each is a field with type, range, default and description."""


class WalkerParameters(MethodParameters):
    """Parameters of every method that reads activations."""

    true_sequential: bool = Field(
        title="Sequential calibration within a block",
        default=True,
        description="Collect each linear's statistics after compressing the linears before it in its block. Off, "
        "as in the reference code: one pass over the dense block.",
    )


class ShiftedParameters(MethodParameters):
    """Parameters of methods whose amount may differ between blocks."""

    shifts: str | None = Field(
        title="Shifts of single blocks",
        default=None,
        description="Steps of the amount of single blocks, such as 3:1;7:-1 for one step more in block 3 and one less "
        f"in block 7. A step is {RATIO_STEP} of a ratio. With bits, it doubles the weight of the block's losses. The "
        "steps add up to 0, and the overall amount stays.",
    )

    @property
    def even(self) -> bool:
        """Whether all blocks have one ratio without shifts."""
        return True

    @field_validator("shifts")
    @classmethod
    def _in_order(cls, text: str | None) -> str | None:
        return ";".join(f"{block}:{steps}" for block, steps in parse_shifts(text).items()) or None


def parse_shifts(text: str | None) -> dict[int, int]:
    """Return the steps by block of a text such as `3:1;7:-1`; raise `PydanticCustomError` for another text."""
    shifts: dict[int, int] = {}
    for part in (text or "").split(";"):
        found = re.fullmatch(f"{WHOLE}:(-?[0-9]{{1,2}})", part.strip())
        if part and (found is None or int(found[1]) in shifts):
            raise PydanticCustomError("shifts", "give each block once, as BLOCK:STEPS;BLOCK:STEPS, such as 3:1;7:-1")
        if found:
            shifts[int(found[1])] = int(found[2])
    if total := sum(shifts.values()):
        raise PydanticCustomError("shifts", "the steps add up to {total}; they must add up to 0", {"total": total})
    return {block: steps for block, steps in sorted(shifts.items()) if steps}
