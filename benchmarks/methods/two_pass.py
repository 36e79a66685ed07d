"""SparseGPT in the two-pass form of its reference, independent of the engine, as a baseline for speed and results.

References: Frantar & Alistarh, 2023 (arXiv:2301.00774), algorithm 1 and section 3. Each block runs one forward pass of
all sequences with a Hessian per linear, prunes each linear, and runs a second forward pass for the next block's inputs.
The inverse Hessian needs two Cholesky factorisations and a full inverse. Columns are swept one by one in blocks of 128.
"""

from typing import cast

import torch
from torch import Tensor, nn


class Layer:
    """Hessian and sweep of one linear, as in the paper's algorithm."""

    def __init__(self, linear: nn.Linear):
        self.linear = linear
        columns = linear.weight.shape[1]
        self.hessian = torch.zeros(columns, columns)
        self.sequences = 0

    def add_batch(self, inputs: Tensor) -> None:
        """Update the running mean of 2 X X^T over sequences with inputs (1, tokens, in)."""
        rows = inputs.reshape(-1, inputs.shape[-1]).t().float()  # (in, tokens)
        self.hessian *= self.sequences / (self.sequences + 1)
        self.sequences += 1
        rows = (2 / self.sequences) ** 0.5 * rows
        self.hessian += rows.matmul(rows.t())

    def prune(self, ratio: float, block: int = 128, damping: float = 0.01) -> None:
        weight = self.linear.weight.data.float().clone()  # (out, in)
        columns = weight.shape[1]
        hessian = self.hessian
        dead = hessian.diagonal() == 0
        hessian[dead, dead] = 1
        weight[:, dead] = 0
        hessian.diagonal().add_(damping * hessian.diagonal().mean())
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        upper = torch.linalg.cholesky(inverse, upper=True)
        for start in range(0, columns, block):
            stop = min(start + block, columns)
            part = weight[:, start:stop].clone()
            errors = torch.zeros_like(part)
            diagonal = upper.diagonal()[start:stop]
            score = part**2 / diagonal.reshape(1, -1) ** 2
            threshold = score.flatten().sort()[0][int(score.numel() * ratio)]
            mask = score <= threshold
            for i in range(stop - start):
                column = part[:, i]
                pruned = column.clone()
                pruned[mask[:, i]] = 0
                error = (column - pruned) / diagonal[i]
                part[:, i:] -= error.unsqueeze(1).matmul(upper[start + i, start + i : stop].unsqueeze(0))
                part[:, i] = pruned
                errors[:, i] = error
            weight[:, start:stop] = part
            weight[:, stop:] -= errors.matmul(upper[start:stop, stop:])
        self.linear.weight.data.copy_(weight)


class _CaughtError(Exception):
    pass


class Catcher(nn.Module):
    """Replacement of the first block that records its inputs and ends the forward pass."""

    def __init__(self, caught: list):
        super().__init__()
        self.caught = caught

    def forward(self, hidden: Tensor, **kwargs):
        self.caught.append((hidden, kwargs))
        raise _CaughtError


@torch.no_grad()
def prune_two_pass(model: nn.Module, windows: Tensor, ratio: float, count: int | None = None) -> None:
    """Prune the first `count` (None: all) blocks of a Llama-like model in place; windows (N, L) run one at a time."""
    blocks = cast(nn.ModuleList, model.get_submodule("model.layers"))
    caught: list = []
    first = blocks[0]
    blocks[0] = Catcher(caught)
    for window in windows.split(1):
        try:
            model(input_ids=window, use_cache=False)
        except _CaughtError:
            continue
    blocks[0] = first
    inputs = [hidden for hidden, _ in caught]
    kwargs = caught[0][1]
    for block in blocks[:count]:
        layers = {name: Layer(module) for name, module in block.named_modules() if isinstance(module, nn.Linear)}
        handles = [
            layer.linear.register_forward_hook(lambda module, args, out, layer=layer: layer.add_batch(args[0]))
            for layer in layers.values()
        ]
        for hidden in inputs:
            block(hidden, **kwargs)
        for handle in handles:
            handle.remove()
        for layer in layers.values():
            layer.prune(ratio)
        inputs = [_tensor(block(hidden, **kwargs)) for hidden in inputs]


def _tensor(output):
    return output if isinstance(output, Tensor) else output[0]
