"""Checkpoints of compressed models, and the shapes that their configuration does not describe."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from core.base.errors import UserError
from core.models import modeling_slimscope
from core.models.kinds.separated import separated_folder
from core.models.loading import class_of, from_folder, sentences
from core.models.modeling_slimscope import Experts, Shapes, slimmed
from core.models.parts.blocks import base_class, find_blocks, plain_like
from core.models.parts.constraints import load_constraints, save_constraints
from core.models.parts.experts import separate_experts, stacked_shapes
from core.models.parts.grids import load_grids, save_grids
from core.models.parts.shards import save_mixture
from core.models.removal.units import find_units

CODE = Path(modeling_slimscope.__file__)


def shapes_of(model: PreTrainedModel) -> Shapes:
    """Return the shapes that `modeling_slimscope.reshape` needs to rebuild this model from a plain one."""
    plain = plain_like(model, model.config)
    separate_experts(plain, like=model)
    return modeling_slimscope.describe(model, plain)


def save_model(model: PreTrainedModel, folder: Path, separate: bool = False) -> bool:
    """Write weights, configuration, constraints and grids; return whether plain transformers can load the model.

    With `separate`, the experts of a mixture keep their linears, from which they can be mapped again.
    """
    stacking = nullcontext(dict[str, Experts]()) if separate else stacked_shapes(model)
    with stacking as layers, describing(model, folder) as plain:
        # transformers restores the original tensor names of plain models; our own code expects its module names.
        if layers:
            save_mixture(model, layers, folder, original=plain)
        else:
            model.save_pretrained(folder, save_original_format=plain)
    save_constraints(model, folder)
    save_grids(model, folder)
    return plain


@contextmanager
def describing(model: PreTrainedModel, folder: Path) -> Iterator[bool]:
    """Make `model.config` describe the model's shapes inside the context.

    Yields whether a plain configuration describes all of them. If not, `config.slimscope` lists the differences, and
    `modeling_slimscope.py` in the folder builds the model when loaded with `trust_remote_code`.
    """
    original = model.config
    auto, own = "AutoModelForCausalLM", "SlimscopeForCausalLM"
    plain = _uniform_config(model)
    shapes = shapes_of(model) if plain is None else {}
    try:
        model.config = plain or copy.deepcopy(original)
        if plain is None:
            model.config.slimscope = shapes
            model.config.auto_map = {auto: f"{CODE.stem}.{own}"}
        yield plain is not None
    finally:
        model.config = original
    if plain is None:
        base = base_class(model).__name__
        code = [CODE.read_text(), *_plugged_in(shapes), f"{own} = slimmed(transformers.{base})\n"]
        (folder / CODE.name).write_text("\n\n".join(code))


def _plugged_in(shapes: Shapes) -> Iterator[str]:
    """Yield the code of the kinds in these shapes that another file than `modeling_slimscope.py` adds."""
    for kind in modeling_slimscope.KINDS:
        if shapes[kind.tag] and kind.__module__ != modeling_slimscope.__name__:
            yield f"{inspect.getsource(kind)}\n\nKINDS.append({kind.__name__})\n"


def load_model_folder(folder: Path, dtype: torch.dtype, mapped: bool = False) -> PreTrainedModel:
    """Load a checkpoint of `save_model` with its constraints and grids.

    The weights of a `mapped` model take no memory of the process.

    Raises `UserError` if the checkpoint is damaged or incomplete.
    """
    files = None
    if mapped:
        kind, _ = _class_and_config(folder)
        files = separated_folder(kind, kind, folder, dtype, str(folder))
    model = load_weights(files or folder, dtype)
    with sentences(f"The checkpoint in {folder} could not be loaded"):
        load_constraints(model, folder)
        load_grids(model, folder)
    return model


def load_weights(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Load the weights of a checkpoint of `save_model`, with this package's code instead of the folder's."""
    kind, config = _class_and_config(folder)
    return from_folder(kind, folder, dtype, str(folder), config=config)


def _class_and_config(folder: Path) -> tuple[type[PreTrainedModel], PreTrainedConfig]:
    with sentences(f"The checkpoint in {folder} could not be loaded"):
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        base = class_of(config.architectures[0], str(folder))
        return slimmed(base) if hasattr(config, "slimscope") else base, config


def _uniform_config(model: PreTrainedModel) -> PreTrainedConfig | None:
    """Return a configuration of the plain architecture with exactly this model's tensors; None if impossible."""
    config = copy.deepcopy(model.config)
    text = config.get_text_config()
    try:
        shape = find_units(find_blocks(model), 0).geometry
    except UserError:  # factors, or fused matrices whose shapes no method changes
        shape = None
    if shape is not None:
        for name, value in (
            ("num_attention_heads", shape.query_heads),
            ("num_key_value_heads", shape.kv_heads),
            ("head_dim", shape.head_dim),
            ("intermediate_size", shape.channels),
            ("ffn_dim", shape.channels),
        ):
            if hasattr(text, name):
                setattr(text, name, value)
    try:
        plain = plain_like(model, config)
    except (ValueError, ZeroDivisionError):  # sizes that the architecture does not allow
        return None
    mine, theirs = ({n: t.shape for n, t in m.state_dict().items()} for m in (model, plain))
    return config if mine == theirs else None
