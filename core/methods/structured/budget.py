"""How many heads and channels each block loses, so that the asked share of block-linear weights goes, to a channel.

Attention steps are coarse: no more go than a block's share of its heads, as in the code of LLM-Pruner. FFN channels
take the remainder, in the block itself and, where a block has reached its limit, in the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import UserError
from core.models.parts.geometry import Geometry

LEAST_CHANNELS = 8  # kept in every block
LIGHT_UP_TO = 0.35  # between 20 and 50 %, for which papers give settings of their own
_TOO_MUCH = (
    "So much cannot be removed: every block keeps at least one attention head (or group) and "
    f"{LEAST_CHANNELS} FFN channels, and some blocks may be left whole; ask for a smaller ratio."
)


@dataclass(frozen=True)
class Removal:
    """What a block loses: attention steps (see `Geometry`) and FFN channels."""

    steps: int = 0
    channels: int = 0
    ranks: Mapping[str, int] = field(default_factory=dict)  # by role, of matrices that become a product of two


def allocate(shapes: Sequence[Geometry], ratio: float, shares: Sequence[float]) -> list[Removal]:
    """Return what each block loses.

    `ratio` is of all blocks' linear weights; `shares` says how much of its own weights each block should lose and
    must average to `ratio`, weighted by size. Raises `UserError` where the blocks that may shrink cannot lose so much.
    """
    steps = [  # a share of 8 / 32 takes 8 of 32 heads, whatever the last bit of the quotient
        min(shape.steps, int(share * (shape.steps + 1) + 1e-9)) for shape, share in zip(shapes, shares, strict=True)
    ]
    return with_steps(shapes, ratio, shares, steps)


def with_steps(
    shapes: Sequence[Geometry], ratio: float, shares: Sequence[float], steps: Sequence[int]
) -> list[Removal]:
    """Return the removals with the attention steps given: channels make up what is missing of `ratio`."""
    wanted = ratio * sum(shape.weights for shape in shapes) - sum(
        count * shape.step_weights for count, shape in zip(steps, shapes, strict=True)
    )
    limits = [
        (shape.channels - LEAST_CHANNELS) * shape.channel_weights if share > 0 else 0
        for shape, share in zip(shapes, shares, strict=True)
    ]
    losses = [  # weights that the FFN loses
        min(max(share * shape.weights - count * shape.step_weights, 0), limit)
        for shape, share, count, limit in zip(shapes, shares, steps, limits, strict=True)
    ]
    losses = _to_total(losses, limits, wanted)
    channels, carry = [], 0.0
    for loss, shape, limit in zip(losses, shapes, limits, strict=True):
        exact = loss / shape.channel_weights + carry
        count = min(max(round(exact), 0), limit // shape.channel_weights)
        carry = exact - count
        channels.append(count)
    return [Removal(count, removed) for count, removed in zip(steps, channels, strict=True)]


def blocks_left(count: int, ratio: float) -> int:
    """Return how many of `count` blocks stay when whole ones go; `ratio` is met to half a block.

    Raises `UserError` where none would go.
    """
    gone = round(ratio * count)
    if ratio and not gone:
        raise UserError(
            f"A share of {ratio:g} is less than half of one of the {count} blocks, and only whole ones go; "
            f"ask for {1 / count:.3g} or more."
        )
    return max(1, count - gone)


def _to_total(losses: Sequence[float], limits: Sequence[float], wanted: float) -> list[float]:
    """Return losses between 0 and their limits whose sum is `wanted`, each moved in proportion to its room."""
    gap = wanted - sum(losses)
    rooms = [limit - loss if gap > 0 else loss for loss, limit in zip(losses, limits, strict=True)]
    if abs(gap) > sum(rooms) + 1e-6:
        raise UserError(
            _TOO_MUCH if gap > 0 else "So little cannot be removed in whole attention heads; ask for a larger ratio."
        )
    return [loss + gap * room / max(sum(rooms), 1e-9) for loss, room in zip(losses, rooms, strict=True)]


def uniform(shapes: Sequence[Geometry], ratio: float, first: int = 0, last: int | None = None) -> list[float]:
    """Return equal shares for blocks `first` to `last` (included) and none for the others."""
    last = len(shapes) - 1 if last is None else last
    total = sum(shape.weights for shape in shapes)
    inside = sum(shape.weights for shape in shapes[first : last + 1])
    return [ratio * total / inside if first <= index <= last else 0.0 for index in range(len(shapes))]


def allocate_globally(
    shapes: Sequence[Geometry],
    ratio: float,
    step_scores: Sequence[Sequence[float]],
    channel_scores: Sequence[Sequence[float]],
    may_shrink: Sequence[bool] | None = None,
) -> list[Removal]:
    """Return what each block loses when the lowest-scored units of all blocks go, whatever block they are in.

    `step_scores[b]` are the scores of block b's attention steps and `channel_scores[b]` of its channels, in the order
    in which they would go. Steps and channels weigh as many weights as they hold, and the asked `ratio` of all blocks'
    weights is met to a channel: what a step takes too much, channels give back. Reference: An et al., FLAP, 2023
    (arXiv:2312.11983), section 3.3.
    """
    items = []  # (score, weights, block, is a step)
    for block, shape in enumerate(shapes):
        if may_shrink is None or may_shrink[block]:
            items += [(float(s), shape.step_weights, block, True) for s in step_scores[block][: shape.steps]]
            room = shape.channels - LEAST_CHANNELS
            items += [(float(s), shape.channel_weights, block, False) for s in channel_scores[block][:room]]
    wanted = ratio * sum(shape.weights for shape in shapes)
    if sum(item[1] for item in items) < wanted:
        raise UserError(_TOO_MUCH)
    removed = 0.0
    counts = [[0, 0] for _ in shapes]
    taken: list[tuple[int, int]] = []  # (weights, block) of channels, the highest-scored last
    closed: set[tuple[int, bool]] = set()  # where one was too large to go, no higher-scored one goes
    for _, weights, block, is_step in sorted(items, key=lambda item: item[0]):
        if removed + weights > wanted + weights / 2 or (block, is_step) in closed:
            closed.add((block, is_step))
            continue
        removed += weights
        counts[block][0 if is_step else 1] += 1
        if not is_step:
            taken.append((weights, block))
    while taken and removed - wanted > taken[-1][0] / 2:
        weights, block = taken.pop()
        removed -= weights
        counts[block][1] -= 1
    return [Removal(steps, channels) for steps, channels in counts]
