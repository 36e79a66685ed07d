"""Classes that training methods name in annotations only, as in `core.methods.annotations`.

Results read the plug-ins, which may import the methods, so these must not import results.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.data.windows import TextData
    from core.models.teacher import Teacher
    from core.results import LayerReport
    from core.training.adapters import SparseLora
    from core.training.examples import Batch, Example
else:
    Batch = Example = LayerReport = SparseLora = Teacher = TextData = object

__all__ = ["Batch", "Example", "LayerReport", "SparseLora", "Teacher", "TextData"]
