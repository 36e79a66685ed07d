"""Low-rank convolutions: each becomes one to fewer channels and one back, from its kernel's singular vectors.

References: the citation, and Denton et al., 2014 (arXiv:1404.0736): a k x k convolution to r channels, then 1 x 1; here
closest to the kernel and not to its outputs, so that it needs no data. Jaderberg et al., 2014 (arXiv:1405.3866), scheme
2: k x 1 to r channels, then 1 x k.
"""

from core.methods.convolution.base import ConvMethod
from core.methods.convolution.forms import Split
from core.methods.terms import Citation


class ConvLowRank(ConvMethod):
    name = "conv-lowrank"
    label = "Low-rank convolutions"
    short_label = "Low-rank conv"
    citation = Citation(
        title="Accelerating Very Deep Convolutional Networks for Classification and Detection",
        authors="Zhang et al.",
        year=2015,
        url="https://arxiv.org/abs/1505.06798",
        part="its low-rank form, of the kernels instead of the responses",
    )
    summary = "Replaces each convolution by one to fewer channels and one back, closest to its kernel; uses no data."
    idea = (
        "The kernel of a convolution, laid out as a matrix of outputs by inputs and positions, is close to low "
        "rank. Its first singular vectors give a convolution to few channels and a 1 x 1 convolution back. Two "
        "convolutions, one along each axis, replace it where they lose less."
    )
    formulas = (
        r"W_{o,(i,x,y)} \approx \sum_{n=1}^{k} U_{o,n}\, \sigma_n\, V_{n,(i,x,y)}",
        r"W_{(o,y),(i,x)} \approx \sum_{n=1}^{k} U_{(o,y),n}\, \sigma_n\, V_{n,(i,x)}",
    )
    symbols = {
        "W": "kernel of a convolution, laid out as a matrix",
        r"o,\ i": "an output and an input channel",
        r"x,\ y": "a position in the kernel",
        r"U_n,\ \sigma_n,\ V_n": "singular vectors and values, largest first",
    }
    forms = (Split(None), Split(1))
