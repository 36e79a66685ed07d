"""Classes that training methods name in annotations only, as in `core.methods.annotations`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.data.windows import TextData
    from core.models.teacher import Teacher
    from core.training.adapters import SparseLora
    from core.training.examples import Batch, Example
else:
    Batch = Example = SparseLora = Teacher = TextData = object

__all__ = ["Batch", "Example", "SparseLora", "Teacher", "TextData"]
