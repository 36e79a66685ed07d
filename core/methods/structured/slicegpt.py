"""SliceGPT: rotates hidden states to their principal components and keeps the first ones.

The rotations between two norms differ, so each residual gets a shortcut matrix, whose weights count as the block's.
"""

import math

from core.base.errors import UserError
from core.methods.annotations import Tensor
from core.methods.structured.base import SliceMethod
from core.methods.terms import Citation


class SliceGPT(SliceMethod):
    name = "slicegpt"
    label = "SliceGPT"
    citation = Citation(
        title="SliceGPT: Compress Large Language Models by Deleting Rows and Columns",
        authors="Ashkboos et al.",
        year=2024,
        url="https://arxiv.org/abs/2401.15024",
        part="sections 3.1 to 3.4",
    )
    summary = "Rotates the hidden states to their principal components and removes the smallest from every matrix."
    idea = (
        "Hidden states vary much along a few directions and little along the others. Rotating them to their "
        "principal components leaves the model's outputs unchanged. SliceGPT then cuts the last directions from "
        "every matrix, and a small matrix on each residual connection maps one basis to the next."
    )
    formulas = (
        r"X X^\top = Q\, \Lambda\, Q^\top",
        r"W'_{\mathrm{in}} = W_{\mathrm{in}}\, Q_k, \qquad W'_{\mathrm{out}} = Q_k^\top\, W_{\mathrm{out}}",
        r"R = Q_k^\top\, P_k",
    )
    symbols = {
        "X": "hidden states on the calibration data, one column per token",
        "Q_k": "the k directions along which they vary most",
        r"\Lambda": "eigenvalues: how much they vary along each direction",
        r"W_{\mathrm{in}}": "weights of a matrix that reads hidden states; with out, of one that writes them",
        r"R,\ P": "matrix on the residual connection, from the previous basis, P, to the next, Q",
    }

    def width(self, hidden: int, block_weights: float, ratio: float) -> int:
        """Solve block_weights w / hidden + 2 w^2 = (1 - ratio) block_weights for w; 2 w^2 are the two shortcuts."""
        slope = block_weights / hidden
        width = (math.sqrt(slope**2 + 8 * (1 - ratio) * block_weights) - slope) / 4
        if round(width) < 1:
            raise UserError(f"Ratio {ratio:g} leaves no hidden state; give a smaller ratio.")
        return min(hidden, round(width))

    def basis(self, scatter: Tensor, width: int) -> Tensor:
        """Return the first principal directions."""
        import torch

        directions: Tensor = torch.linalg.eigh(scatter).eigenvectors.flip(1)[:, :width]
        return directions
