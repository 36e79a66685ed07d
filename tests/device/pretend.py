"""A second device for machines without one: its tensors lie in the memory, and its kernels are the CPU's.

PyTorch keeps one device type for backends outside of it. This backend hands each operation to the CPU, on the same
memory, so numbers equal the CPU's. As on a GPU, operations that mix tensors of both devices raise, and so does
`numpy()`. A registration is for the whole process, and modules then take this device for its accelerator: a process of
its own registers it.
"""

import ctypes
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils import dlpack
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretend"
KEY = "PrivateUse1"
ON_CPU, OUTSIDE = 1, 12  # DLPack's kDLCPU and kDLExtDev
BEFORE_DEVICE = 8  # bytes of a DLManagedTensor before its device type
POINTER = ctypes.pythonapi.PyCapsule_GetPointer
POINTER.restype, POINTER.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
VIEWS = ("as_strided", "view", "_reshape_alias", "unfold", "set_")
LIBRARY = torch.library.Library("aten", "IMPL")  # with which its kernels would leave


class Module(_DummyBackendModule):
    """`torch.pretend`: random numbers come from the CPU's generator."""

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


def register() -> None:
    """Register the device `pretend`; once in a process."""
    _setup_privateuseone_for_python_backend(NAME, Module())
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    for name in names:
        if name == "aten::copy_" or torch._C._dispatch_has_kernel_for_dispatch_key(name, "CPU"):
            LIBRARY.impl(name.removeprefix("aten::"), _kernel(name.removeprefix("aten::")), KEY)
    _move_as_on_gpu()


def _kernel(overload: str) -> Any:
    """Return the kernel of an operation of PyTorch."""
    name, _, rest = overload.partition(".")
    operation = getattr(getattr(torch.ops.aten, name), rest or "default")
    if name in VIEWS:  # the CPU's kernel suits tensors of any device, as it reads no memory
        return partial(operation.redispatch, torch._C.DispatchKeySet(torch._C.DispatchKey.CPU))
    return partial(_compute, operation)


def _compute(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Compute an operation on the CPU.

    Raises:
        RuntimeError: Its tensors are of both devices.
    """
    lowered: dict[int, tuple[Tensor, Tensor]] = {}
    _check_devices(operation, args, kwargs)

    def lower(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if not isinstance(value, Tensor) or value.device.type == "cpu":
            return value
        if id(value) not in lowered:
            lowered[id(value)] = value, _relabel(value, ON_CPU) if value.numel() else _empty(value, "cpu")
        return lowered[id(value)][1]

    def lift(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return known[id(value)] if id(value) in known else _relabel(value, OUTSIDE)

    on_cpu, on_cpu_by_name = pytree.tree_map(lower, (args, kwargs))
    on_cpu = [
        torch.tensor(value, dtype=torch.result_type(on_cpu[0], value)) if _takes_tensor(argument, value) else value
        for argument, value in zip(operation._schema.arguments, on_cpu, strict=False)
    ]
    found = operation(*on_cpu, **on_cpu_by_name)
    known = {id(cpu): ours for ours, cpu in lowered.values()}
    for own in pytree.tree_leaves((args, kwargs)):
        if isinstance(own, Tensor) and own.device.type == "cpu":
            known[id(own)] = own
    for ours, cpu in lowered.values():
        if ours.shape != cpu.shape:  # a result that was resized
            ours.set_(_relabel(cpu, OUTSIDE))
    return pytree.tree_map(lift, found)


def _check_devices(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise `RuntimeError` if an operation has tensors of both devices, or a generator of the CPU.

    As on a GPU, it may read a number and indices from the CPU.
    """
    if operation._opname == "copy_":
        return
    arguments = {argument.name: argument for argument in operation._schema.arguments}
    for name, value in {**dict(zip(arguments, args, strict=False)), **kwargs}.items():
        if name == "indices" and args[0].device.type == NAME:
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            is_number = isinstance(one, Tensor) and one.dim() == 0 and not arguments[name].is_write
            if isinstance(one, (Tensor, torch.Generator)) and one.device.type != NAME and not is_number:
                raise RuntimeError(f"{operation}: {name} is on {one.device}, and others are on {NAME}.")


def _takes_tensor(argument: Any, value: Any) -> bool:
    """Return whether a number takes the place of a tensor, as in `tensor & 1`."""
    return str(argument.type) == "Tensor" and isinstance(value, (int, float))


def _empty(like: Tensor, device: str) -> Tensor:
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=device)


def _relabel(tensor: Tensor, kind: int) -> Tensor:
    """Return a tensor of the same memory that is on the other device."""
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    capsule = dlpack.to_dlpack(tensor.detach().as_strided_((size,), (1,), 0))
    place = POINTER(capsule, b"dltensor")
    ctypes.c_int32.from_address(place + BEFORE_DEVICE).value = kind
    return dlpack.from_dlpack(capsule).as_strided_(tensor.shape, tensor.stride(), tensor.storage_offset())


def _move_as_on_gpu() -> None:
    """Let the tensor of a parameter move to this device and back, as PyTorch lets it only on its own devices."""
    plain, compatible, deep = Tensor.data, torch._has_compatible_shallow_copy_type, Tensor.__deepcopy__

    def assign(tensor: Tensor, value: Tensor) -> None:
        if compatible(tensor, value):
            plain.__set__(tensor, value)
        else:
            torch._C._swap_tensor_impl(tensor, value.detach().requires_grad_(tensor.requires_grad))

    def copy(tensor: Tensor, memo: dict[int, Any]) -> Any:
        if tensor.device.type != NAME:
            return deep(tensor, memo)
        return memo.setdefault(id(tensor), tensor.detach().clone().requires_grad_(tensor.requires_grad))

    def always(input: Tensor, from_: Tensor) -> bool:  # dynamo checks the names
        return True

    Tensor.data = property(plain.__get__, assign)
    Tensor.__deepcopy__ = copy
    torch._has_compatible_shallow_copy_type = always
