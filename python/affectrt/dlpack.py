"""Arrays of other libraries (PyTorch, CuPy, JAX, NumPy, ...) by DLPack."""

from __future__ import annotations

from typing import Any, Protocol

from . import _core
from .errors import InputError

__all__ = ["CUDA", "DeviceArray", "OnDevice", "capsule_of", "device_of"]

DeviceArray = _core.DeviceArray

CUDA = (2, 13)  # DLPack's numbers of CUDA memory, and of managed memory


class OnDevice(Protocol):
    """An array of any library that speaks DLPack."""

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...


def device_of(array: OnDevice, what: str) -> tuple[int, int]:
    """DLPack's numbers of where `array` lies; `InputError` where it does not say."""
    if not hasattr(array, "__dlpack_device__"):
        raise InputError(f"{what} a {type(array).__name__}; an array that speaks DLPack is needed")
    kind, number = array.__dlpack_device__()
    return int(kind), int(number)


def capsule_of(array: OnDevice, what: str) -> Any:
    """A capsule of `array`, ready for the legacy default stream of its device."""
    kind, _ = device_of(array, what)
    try:
        return array.__dlpack__(stream=1) if kind in CUDA else array.__dlpack__()
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{what} an array that cannot be given by DLPack: {error}") from None
