"""Depthwise separable convolutions: the paper of the citation without its training.

A convolution is a sum of at most k^2 depthwise separable ones, given by the singular vectors of each input channel's
(out, k^2) slice. Here they form one convolution with that depth multiplier.
"""

from core.methods.convolution.base import ConvMethod
from core.methods.convolution.forms import Separable
from core.methods.terms import Citation


class DepthwiseSeparable(ConvMethod):
    name = "depthwise-separable"
    label = "Depthwise separable"
    short_label = "Depthwise"
    citation = Citation(
        title="Network Decoupling: From Regular to Depthwise Separable Convolutions",
        authors="Guo et al.",
        year=2018,
        url="https://arxiv.org/abs/1808.05517",
    )
    summary = "Replaces each convolution by a depthwise and a 1 x 1 one, closest to its kernel; uses no data."
    idea = (
        "The weights from one input channel to all outputs form a matrix of outputs by kernel positions, which is "
        "close to low rank. A depthwise convolution filters each channel with its k leading patterns, where k is "
        "the depth multiplier. A 1 x 1 convolution then mixes the results."
    )
    formulas = (r"W_{o,i,(x,y)} \approx \sum_{n=1}^{k} P_{o,i,n}\, D_{i,n,(x,y)}",)
    symbols = {
        "W": "kernel of a convolution: one matrix per input channel",
        r"o,\ i": "an output and an input channel",
        r"x,\ y": "a position in the kernel",
        "k": "depth multiplier",
        r"P,\ D": "pointwise and depthwise kernels, from the singular vectors and values of the channel's matrix",
    }
    forms = (Separable(),)
