"""Traits that a model has, read from its modules."""

from torch import nn

from core.methods.terms import Trait
from core.models.manifest import shapes_of
from core.models.parts.constraints import constraint_of
from core.models.parts.grids import grid_of
from core.models.parts.sizes import embedding_tables, is_language_model
from tests.core.contract.ground import Made, linears

KINDS: dict[str, Trait] = {
    "factors": "factors",
    "convolutions": "convolutions",
    "tables": "embedding",
    "blocks": "basis",
    "turns": "rotation",
}


def observed_traits(made: Made) -> set[Trait]:
    """Return the traits that a stage left in its model."""
    model, dense = made.model, made.ground.dense
    found = {trait for tag, trait in KINDS.items() if shapes_of(model).get(tag)}
    if any(_hooks(module) for module in model.modules()):
        found.add("runtime")
    if not is_language_model(model):
        return found
    constraints = [known for linear in linears(model) if (known := constraint_of(linear.module))]
    if constraints:
        found.add("zeros")
    if any(known.pattern for known in constraints):
        found.add("pattern")
    if any(grid_of(linear.module) for linear in linears(model)):
        found.add("grid")
    if any(grid_of(table) for table in embedding_tables(model).values()):
        found.add("table grid")
    after, before = ({linear.name: linear.shape for linear in linears(one)} for one in (model, dense))
    if any(after.get(name, shape) != shape for name, shape in before.items()) or len(after) < len(before):
        found.add("shapes")
    return found


def _hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
