"""Heads and channels that each block loses, to remove the requested share of block-linear weights to a channel.

Attention steps are coarse: no more of them are removed than the block's share, as in the code of LLM-Pruner. FFN
channels take the remainder, in the block itself or, if a block has reached its limit, in the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.base.errors import UserError
from core.models.removal.geometry import Geometry

LEAST_CHANNELS = 8  # minimum kept in every block
LIGHT_UP_TO = 0.35  # highest ratio with the papers' settings for 20 %; those for 50 % above
_TOO_MUCH = (
    "The ratio is too high: every block keeps at least one attention head (or group) and "
    f"{LEAST_CHANNELS} FFN channels, and some blocks may stay whole. Give a smaller ratio."
)


@dataclass(frozen=True)
class Removal:
    """The attention steps (see `Geometry`) and FFN channels that a block loses."""

    steps: int = 0
    channels: int = 0
    ranks: Mapping[str, int] = field(default_factory=dict)  # by role, of matrices to factor


def allocate(shapes: Sequence[Geometry], ratio: float, shares: Sequence[float]) -> list[Removal]:
    """Return the removal of each block, whose shares of their own weights average, weighted by size, to `ratio`.

    Raises `UserError` if the blocks that may shrink cannot lose so much.
    """
    steps = [  # a share of 8 / 32 removes 8 of 32 heads, whatever the quotient's last bit
        min(shape.steps, int(share * (shape.steps + 1) + 1e-9)) for shape, share in zip(shapes, shares, strict=True)
    ]
    return with_steps(shapes, ratio, shares, steps)


def with_steps(
    shapes: Sequence[Geometry], ratio: float, shares: Sequence[float], steps: Sequence[int]
) -> list[Removal]:
    """Return the removals with given attention steps; channels make up the rest of `ratio`."""
    wanted = ratio * sum(shape.weights for shape in shapes) - sum(
        count * shape.step_weights for count, shape in zip(steps, shapes, strict=True)
    )
    limits = [
        (shape.channels - LEAST_CHANNELS) * shape.channel_weights if share > 0 else 0
        for shape, share in zip(shapes, shares, strict=True)
    ]
    losses = [  # removed weights of the FFN
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
    """Return how many of `count` blocks stay when whole blocks are removed; the ratio is met to half a block.

    Raises `UserError` if no block would be removed.
    """
    removed = round(ratio * count)
    if ratio and not removed:
        raise UserError(
            f"Ratio {ratio:g} is less than half of one of the {count} blocks, and only whole blocks are removed; "
            f"give {1 / count:.3g} or more."
        )
    return max(1, count - removed)


def _to_total(losses: Sequence[float], limits: Sequence[float], wanted: float) -> list[float]:
    """Return losses between 0 and their limits with the sum `wanted`, each moved in proportion to its room."""
    gap = wanted - sum(losses)
    rooms = [limit - loss if gap > 0 else loss for loss, limit in zip(losses, limits, strict=True)]
    if abs(gap) > sum(rooms) + 1e-6:
        raise UserError(_TOO_MUCH if gap > 0 else "The ratio is too low for whole attention heads; give a larger one.")
    return [loss + gap * room / max(sum(rooms), 1e-9) for loss, room in zip(losses, rooms, strict=True)]


def uniform(shapes: Sequence[Geometry], ratio: float, first: int = 0, last: int | None = None) -> list[float]:
    """Return equal shares for blocks `first` to `last` (included) and 0 for the others."""
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
    """Return the removal of each block when the lowest-scored units of all blocks, or of those that `may_shrink`, go.

    Scores are in the order of removal. A step or channel counts as many weights as it has. The ratio is met to a
    channel: if a step removes too much, channels are restored. Reference: An et al., FLAP, 2023 (arXiv:2312.11983),
    section 3.3.
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
    removed_channels: list[tuple[int, int]] = []  # (weights, block) of removed channels, the highest-scored last
    closed: set[tuple[int, bool]] = set()  # after a unit that is too large, no higher-scored one is removed
    for _, weights, block, is_step in sorted(items, key=lambda item: item[0]):
        if removed + weights > wanted + weights / 2 or (block, is_step) in closed:
            closed.add((block, is_step))
            continue
        removed += weights
        counts[block][0 if is_step else 1] += 1
        if not is_step:
            removed_channels.append((weights, block))
    while removed_channels and removed - wanted > removed_channels[-1][0] / 2:
        weights, block = removed_channels.pop()
        removed -= weights
        counts[block][1] -= 1
    return [Removal(steps, channels) for steps, channels in counts]
