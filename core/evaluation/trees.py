"""Token trees: requests with a common prefix share its tokens.

A row of tokens contains one or more trees. Each token attends only to its ancestors, and its position is its depth.
One forward pass of the row therefore gives, at every token, the logits of that token's path alone.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

Request = tuple[list[int], list[int]]  # (input tokens, targets): the targets are predicted at the last positions

SHARE = 0.25  # minimum share of a request's tokens that must be in a tree for the request to join it
LARGEST = 512  # maximum nodes of a tree, or twice the new request: attention is quadratic in them


@dataclass
class ScoredRequest:
    """The place of one request in its row: `targets[i]` is predicted at `nodes[i]`."""

    request: int
    nodes: list[int]
    targets: list[int]


@dataclass
class Row:
    """One or more token trees in a row of a batch."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)  # -1 at a root; a parent precedes its children
    depths: list[int] = field(default_factory=list)
    scored: list[ScoredRequest] = field(default_factory=list)
    children: dict[tuple[int, int], int] = field(default_factory=dict)  # (parent, token) -> node

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def plain(self) -> bool:
        """Whether the row is a single sequence without branches."""
        return len(self) == self.depths[-1] + 1

    def add(self, index: int, request: Request) -> None:
        """Insert a request from the root."""
        sequence, targets = request
        path, node = [], -1
        for depth, token in enumerate(sequence):
            child = self.children.get((node, token))
            if child is None:
                child = self.children[node, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
                self.depths.append(depth)
            path.append(child)
            node = child
        self.scored.append(ScoredRequest(index, path[len(path) - len(targets) :], targets))

    def place(self, other: "Row") -> None:
        """Append the trees of another row."""
        start = len(self)
        self.tokens += other.tokens
        self.parents += [parent + start if parent >= 0 else -1 for parent in other.parents]
        self.depths += other.depths
        self.scored += [ScoredRequest(s.request, [node + start for node in s.nodes], s.targets) for s in other.scored]

    def visible(self) -> np.ndarray:
        """Return the mask (nodes, nodes) in which line i is True at i and its ancestors."""
        seen = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node, : parent + 1] |= seen[parent, : parent + 1]
        return seen


def grow(requests: Sequence[Request], longest: int) -> list[Row]:
    """Return the trees of all requests, one tree per row; inputs of more than `longest` tokens do not branch.

    A longer input shares its row only with its prefixes.
    """
    rows: list[Row] = []
    previous: list[int] = []
    for index in sorted(range(len(requests)), key=lambda i: requests[i][0]):
        sequence = requests[index][0]
        shared = common(previous, sequence)  # in sorted order, no earlier request shares more
        extends = bool(shared) and shared == len(previous) and rows[-1].plain
        branches = shared >= SHARE * len(sequence) and max(len(sequence), len(previous)) <= longest
        largest = max(LARGEST, 2 * len(sequence))
        if not extends and not (rows and branches and len(rows[-1]) + len(sequence) - shared <= largest):
            rows.append(Row())
        rows[-1].add(index, requests[index])
        previous = sequence
    return rows


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    for index, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return index
    return min(len(first), len(second))


def pack(rows: Sequence[Row], length: int) -> list[Row]:
    """Join rows by best fit, longest first; a row with several trees has at most `length` tokens."""
    waiting = sorted(rows, key=len)
    packed = []
    while waiting:
        row = Row()
        row.place(waiting.pop())
        while fitting := bisect_right(waiting, length - len(row), key=len):
            row.place(waiting.pop(fitting - 1))
        packed.append(row)
    return packed


def batches(rows: Sequence[Row], budget: int) -> Iterator[list[Row]]:
    """Yield batches of rows of similar length, at most `budget` padded tokens each or one row."""
    batch: list[Row] = []
    for row in sorted(rows, key=len, reverse=True):
        if batch and (len(batch) + 1) * len(batch[0]) > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
