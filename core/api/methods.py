"""What a package needs to add methods: `slimscope.methods`. `slimscope methods --guide` explains it."""

from core.amount import Amount, Bits, Factor, Pattern, Ratio
from core.methods.base import Method
from core.methods.embedding.base import EmbeddingMethod
from core.methods.kinds import Reconstruction, RuntimeMethod, TableQuantMethod, TransformMethod
from core.methods.linear import Compressed, LinearMethod, Statistics, Target
from core.methods.lowrank.base import LowRank
from core.methods.parameters import MethodParameters, WalkerParameters
from core.methods.quantised.base import BlockQuantMethod, QuantisedMethod
from core.methods.structured.base import (
    BlockRemovalMethod,
    FactoredUnitMethod,
    HiddenSizeMethod,
    SequentialUnitMethod,
    SliceMethod,
    UnitMethod,
)
from core.methods.structured.experts import ExpertMethod
from core.methods.terms import NEUTRAL, Citation
from core.methods.unstructured.base import ScoredByInputs, ScoreMethod
from core.training.base import Recovery, TrainPruneMethod

__all__ = [
    "NEUTRAL",
    "Amount",
    "Bits",
    "BlockQuantMethod",
    "BlockRemovalMethod",
    "Citation",
    "Compressed",
    "EmbeddingMethod",
    "ExpertMethod",
    "Factor",
    "FactoredUnitMethod",
    "HiddenSizeMethod",
    "LinearMethod",
    "LowRank",
    "Method",
    "MethodParameters",
    "Pattern",
    "QuantisedMethod",
    "Ratio",
    "Reconstruction",
    "Recovery",
    "RuntimeMethod",
    "ScoreMethod",
    "ScoredByInputs",
    "SequentialUnitMethod",
    "SliceMethod",
    "Statistics",
    "TableQuantMethod",
    "Target",
    "TrainPruneMethod",
    "TransformMethod",
    "UnitMethod",
    "WalkerParameters",
]
