"""Depthwise separable convolutions, without training: channel by channel the closest depthwise and pointwise pair.

References: Guo et al., Network Decoupling: From Regular to Depthwise Separable Convolutions, 2018 (arXiv:1808.05517),
without its training: a convolution is a sum of at most k^2 depthwise separable ones, which the singular vectors of each
input channel's (out, k^2) slice give; here they are one of that depth multiplier.
"""

from __future__ import annotations

from core.methods.convolution.base import ConvMethod
from core.methods.convolution.forms import Separable
from core.methods.terms import Citation


class DepthwiseSeparable(ConvMethod):
    name = "depthwise-separable"
    label = "Depthwise separable"
    citation = Citation(
        title="Network Decoupling: From Regular to Depthwise Separable Convolutions",
        authors="Guo et al.",
        year=2018,
        url="https://arxiv.org/abs/1808.05517",
    )
    summary = "Replaces each convolution by a depthwise and a 1 x 1 one that come closest to its kernel; reads no data."
    idea = (
        "What an input channel gives to all outputs is a matrix of outputs by positions, most of which few patterns "
        "explain. Each channel is filtered by its own k patterns, its depth multiplier, and a 1 x 1 convolution mixes "
        "what comes out."
    )
    formulas = (r"W_{o,i,(x,y)} \approx \sum_{n=1}^{k} P_{o,i,n}\, D_{i,n,(x,y)}",)
    symbols = {
        "W": "kernel of a convolution, for each input channel a matrix",
        r"o,\ i": "an output and an input channel",
        r"x,\ y": "a position in the kernel",
        "k": "depth multiplier",
        r"P,\ D": "pointwise and depthwise kernel: singular vectors of the channel's matrix, with their values",
    }
    colour = 6
    forms = (Separable(),)
