"""The C interface from another language: ctypes_client.py LIBRARY MODEL.affect TEXT...

Nothing of the Python package is used. Structs mirror affectrt.h field by field.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from typing import Any


class Text(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("pair", ctypes.c_char_p),
        ("pair_size", ctypes.c_size_t),
    ]


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("backend", ctypes.c_char_p),
        ("isa", ctypes.c_char_p),
        ("onnxruntime_library", ctypes.c_char_p),
        ("providers", ctypes.POINTER(ctypes.c_char_p)),
        ("num_providers", ctypes.c_size_t),
        ("num_threads", ctypes.c_int32),
        ("max_batch_tokens", ctypes.c_int32),
        ("verify", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
    ]


class Library:
    """The functions that this program calls, with their types."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        handle, status = ctypes.c_void_p, ctypes.c_int32
        self.last_error = library.affectrt_last_error
        self.last_error.restype = ctypes.c_char_p
        self.check_abi = library.affectrt_check_abi
        self.check_abi.argtypes = [ctypes.c_int32, ctypes.c_int32]
        self.check_abi.restype = status
        self.load = library.affectrt_model_load_file
        self.load.argtypes = [
            ctypes.c_char_p,
            ctypes.POINTER(ModelOptions),
            ctypes.POINTER(handle),
        ]
        self.load.restype = status
        self.destroy = library.affectrt_model_destroy
        self.destroy.argtypes = [handle]
        self.destroy.restype = None
        self.analyse_json = library.affectrt_model_analyse_json
        self.analyse_json.argtypes = [
            handle,
            ctypes.POINTER(Text),
            ctypes.c_size_t,
            handle,
            ctypes.POINTER(ctypes.c_void_p),
        ]
        self.analyse_json.restype = status
        self.json_destroy = library.affectrt_json_destroy
        self.json_destroy.argtypes = [ctypes.c_void_p]
        self.json_destroy.restype = None

    def check(self, status: int) -> None:
        if status != 0:
            raise RuntimeError(self.last_error().decode())


class Model:
    def __init__(self, library: Library, path: str, num_threads: int = 0) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        options = ModelOptions(struct_size=ctypes.sizeof(ModelOptions), num_threads=num_threads)
        library.check(library.load(path.encode(), options, self._handle))

    def analyse(self, texts: Sequence[str]) -> Any:
        encoded = [text.encode() for text in texts]
        array = (Text * len(texts))(*(Text(text, len(text), None, 0) for text in encoded))
        answer = ctypes.c_void_p()
        self._library.check(
            self._library.analyse_json(self._handle, array, len(texts), None, answer)
        )
        try:
            return json.loads(ctypes.string_at(answer.value or 0))
        finally:
            self._library.json_destroy(answer)

    def __del__(self) -> None:
        self._library.destroy(self._handle)


def main() -> None:
    if len(sys.argv) < 4:
        sys.exit("usage: ctypes_client.py LIBRARY MODEL.affect TEXT...")
    library = Library(sys.argv[1])
    library.check(library.check_abi(1, 0))
    model = Model(library, sys.argv[2])
    print(json.dumps(model.analyse(sys.argv[3:]), ensure_ascii=False))


if __name__ == "__main__":
    main()
