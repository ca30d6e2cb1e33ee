"""Weights to small integers: one scale per row, clipped where the squared error is least.

The scheme (W7A8) is shared by the ONNX int8 graph and by the native engine:

* a weight matrix ``W [N, K]`` becomes ``codes int8 [N, K]`` with ``|code| <= 63`` and
  ``scales float32 [N]``, ``W ~ codes * scales[:, None]``. Seven bits, because without VNNI a CPU
  multiplies u8 by s8 through ``vpmaddubsw``, which adds two products in 16 bits:
  2 * 255 * 63 = 32130 still fits in 32767, 2 * 255 * 127 would saturate silently;
* an activation row ``x [K]`` becomes ``q uint8`` with its own scale and zero point, so that a row's
  result cannot depend on its neighbours in the batch;
* an embedding table is only read, never multiplied in integers: 8 bits, ``|code| <= 127``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Int8Array = npt.NDArray[np.int8]

WEIGHT_MAX_CODE = 63
EMBEDDING_MAX_CODE = 127
MIN_ACTIVATION_SCALE = 1e-30  # keeps a row of zeros from dividing by zero

# Shares of a row's largest magnitude that are tried as clipping bounds. At 7 bits the best one is
# nearly always close to 1 (a Gaussian row wants 3.7 standard deviations, which is about its largest
# value); at 4 bits it goes down to .6.
_CLIP_SHARES = tuple(np.linspace(0.3, 1.0, 15).tolist())
_REFINEMENTS = 3
_CHUNK_VALUES = 1 << 20  # rows are handled in pieces of about 4 MB


def quantize_rows(
    w: npt.ArrayLike, max_code: int = WEIGHT_MAX_CODE
) -> tuple[Int8Array, FloatArray]:
    """Quantise every row of a matrix to integers, symmetric, with the least squared error.

    Args:
        w: ``float32 [N, K]``, finite.
        max_code: the largest magnitude of a code, 1 to 127.

    Returns:
        ``codes int8 [N, K]`` within ``+-max_code`` and ``scales float32 [N]`` (> 0), such that
        ``codes * scales[:, None]`` approximates `w`. A row of zeros gets codes 0 and scale 1.

    Raises:
        ValueError: `w` is not a matrix, has NaN or Inf, or `max_code` is out of range.
    """
    matrix = np.ascontiguousarray(w, dtype=np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"quantize_rows takes a matrix [N, K], not shape {list(matrix.shape)}")
    if not 1 <= max_code <= 127:
        raise ValueError(f"max_code must be 1 to 127, not {max_code}")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise ValueError(f"row {row} has NaN or Inf values: they cannot be quantised")
    codes = np.zeros(matrix.shape, np.int8)
    scales = np.ones(matrix.shape[0], np.float32)
    step = max(1, _CHUNK_VALUES // max(1, matrix.shape[1]))
    for begin in range(0, matrix.shape[0], step):
        rows = slice(begin, begin + step)
        codes[rows], scales[rows] = _quantize_chunk(matrix[rows], max_code)
    return codes, scales


def _quantize_chunk(w: FloatArray, max_code: int) -> tuple[Int8Array, FloatArray]:
    largest = np.abs(w).max(axis=1, initial=0.0)
    # Below this the scale would be a denormal number, whose reciprocal overflows: a row of zeros.
    live = largest > max_code * 4 * np.finfo(np.float32).tiny
    largest = np.where(live, largest, np.float32(1.0)).astype(np.float32)
    unit = np.where(live[:, None], w / largest[:, None], np.float32(0.0)).astype(np.float32)

    best_scale = np.full(len(w), 1 / max_code, np.float32)
    best_error = _error(unit, best_scale, max_code)

    def keep_better(scale: FloatArray) -> None:
        nonlocal best_scale, best_error
        error = _error(unit, scale, max_code)
        better = error < best_error
        best_scale = np.where(better, scale, best_scale)
        best_error = np.where(better, error, best_error)

    for share in _CLIP_SHARES:
        keep_better(np.full(len(w), share / max_code, np.float32))
    # With the codes held, the best scale is the least-squares one; with that scale the codes are
    # rounded anew. Each half step lowers the error or leaves it (Lloyd's iteration).
    for _ in range(_REFINEMENTS):
        codes = _codes(unit, best_scale, max_code)
        power = np.einsum("nk,nk->n", codes, codes)
        fitted = np.einsum("nk,nk->n", unit, codes) / np.where(power > 0, power, np.float32(1.0))
        keep_better(np.where(power > 0, fitted, best_scale).astype(np.float32))
    scales = np.where(live, best_scale * largest, np.float32(1.0)).astype(np.float32)
    return _codes(unit, best_scale, max_code).astype(np.int8), scales


def _codes(w: FloatArray, scale: FloatArray, max_code: int) -> FloatArray:
    codes: FloatArray = np.rint(w * (np.float32(1.0) / scale)[:, None])
    np.clip(codes, -max_code, max_code, out=codes)
    return codes


def _error(w: FloatArray, scale: FloatArray, max_code: int) -> FloatArray:
    residual = w - _codes(w, scale, max_code) * scale[:, None]
    return np.asarray(np.einsum("nk,nk->n", residual, residual), np.float32)


def dequantize_rows(codes: Int8Array, scales: FloatArray) -> FloatArray:
    """``codes * scales[:, None]`` as ``float32 [N, K]``."""
    return np.asarray(codes.astype(np.float32) * scales[:, None], np.float32)


def quantize_activations(
    x: npt.ArrayLike,
) -> tuple[npt.NDArray[np.uint8], FloatArray, npt.NDArray[np.int32]]:
    """Reference of the per-row activation quantisation, in NumPy.

    Args:
        x: ``float32 [M, K]``.

    Returns:
        ``q uint8 [M, K]``, ``scale float32 [M]`` and ``zero int32 [M]`` (0 to 255) with
        ``x ~ (q - zero[:, None]) * scale[:, None]``. The range is widened to hold 0, so that the
        zero point is itself a code.
    """
    rows = np.asarray(x, np.float32)
    high = np.maximum(rows.max(axis=1), np.float32(0.0))
    low = np.minimum(rows.min(axis=1), np.float32(0.0))
    scale = np.maximum((high - low) * np.float32(1 / 255), np.float32(MIN_ACTIVATION_SCALE))
    zero = np.rint(-low / scale).astype(np.int32)
    q = np.clip(np.rint(rows / scale[:, None]) + zero[:, None], 0, 255).astype(np.uint8)
    return q, scale.astype(np.float32), zero


def linear_w7a8(
    x: npt.ArrayLike, codes: Int8Array, scales: FloatArray, bias: FloatArray | None = None
) -> FloatArray:
    """Reference of a quantised linear layer: ``x [M, K]`` times ``codes [N, K]``, in NumPy.

    ``y = scale * scales * (q @ codes.T - zero * sum(codes)) + bias``, integers exact.
    """
    q, scale, zero = quantize_activations(x)
    product = q.astype(np.int32) @ codes.T.astype(np.int32)
    product -= zero[:, None] * codes.astype(np.int32).sum(axis=1)[None, :]
    y = product.astype(np.float32) * scale[:, None] * scales[None, :]
    return np.asarray(y if bias is None else y + bias, np.float32)
