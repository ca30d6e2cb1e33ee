"""Whether the parity report in a model file is proof enough, and whether its signature holds.

The report is what `affectrt export` measured and wrote under ``parity``. Read by itself it is a
claim: that it belongs to these bytes is checked against the hashes in the file, that nobody else
wrote it by its signature.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError, NotFoundError, ProofError, UnsupportedError

Report = Mapping[str, Any]
PublicKey = str | os.PathLike[str] | bytes

SIGNATURE = "signature"
# What is signed begins with this, so that no signature made for anything else fits.
_SIGNED_PREFIX = b"affectrt-parity-1\n"

# Bar -> what it bounds, from one head's figures; None where that head has no such figure.
_BARS: dict[str, Callable[[Report], float | None]] = {
    "max_flips": lambda h: _share(h["flipped_decisions"], h["decisions"]),
    "max_flipped_rows": lambda h: _share(h["flipped_rows"], h["rows"]) if h["decisions"] else None,
    "max_logit_difference": lambda h: h["max_logit_difference"],
    "max_loss": lambda h: max(
        (v["source"] - v["product"] for n, v in h["metrics"].items() if not n.startswith("mean_")),
        default=None,
    ),
    "max_calibration_loss": lambda h: (
        h["calibration_error"]["product"] - h["calibration_error"]["source"]
        if h["calibration_error"]
        else None
    ),
    "min_cosine": lambda h: h["mean_cosine"],
    "min_correlation": lambda h: h["correlation"],
    "min_rows": lambda h: h["rows"],
    "min_rows_with_target": lambda h: h["rows_with_target"],
}
_OTHER_BARS = ("data_sha256",)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def check_requirement(require: object) -> None:
    """Raise InputError where `require` is not what `affectrt.load` takes as ``require_parity``."""
    if isinstance(require, bool):
        return
    known = (*_BARS, *_OTHER_BARS)
    if not isinstance(require, Mapping):
        raise InputError(
            f"require_parity is {type(require).__name__}; give True, False or a dict of bars "
            f"({', '.join(known)})"
        )
    for name, bound in require.items():
        if name not in known:
            raise InputError(f"require_parity: {name!r} is not one of {', '.join(known)}")
        wanted = str if name in _OTHER_BARS else (int, float)
        if not isinstance(bound, wanted) or isinstance(bound, bool):
            raise InputError(f"require_parity: {name} is {bound!r}; give a number, a text for "
                             "data_sha256")  # fmt: skip


def check_proof(
    where: str,
    manifest: Mapping[str, Any],
    backend: str | None,
    require: bool | Mapping[str, Any] = True,
) -> None:
    """Raise ProofError where the report of a model file is missing, not of its content, or weak.

    Whatever `require` is: the report must say of every head, on `backend`, that token ids are the
    same and that no bar of the export was broken, and where it names the entries that it was made
    of, they must be those of the file. Bars in `require` come on top.

    Args:
        where: the file's name, for messages.
        manifest: the content of ``affectrt.json``.
        backend: ``"native"`` or ``"onnxruntime"``; None: each that the report is about.
        require: as for `affectrt.load`.
    """
    report = manifest.get("parity")
    if not isinstance(report, Mapping):
        raise ProofError(
            f"{where}: has no parity report; `affectrt export` writes one, or load it without "
            "require_parity"
        )
    try:
        weak = _weaknesses(report, manifest, backend, {} if isinstance(require, bool) else require)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProofError(
            f"{where}: its parity report cannot be read ({type(error).__name__}: {error}); "
            "export the model anew"
        ) from None
    if weak:
        raise ProofError(f"{where}: its parity report is not proof enough: {'; '.join(weak)}")


def _weaknesses(
    report: Report, manifest: Report, backend: str | None, bars: Mapping[str, Any]
) -> list[str]:
    weak = [str(failure) for failure in report["failures"]]
    if not report["passed"] and not weak:
        weak.append("it did not pass")
    # Of a speech model features stand in for tokens, and their difference is among the failures.
    tokens = {"equal": 0, "rows": 0} if "features" in report else report["tokens"]
    if tokens["equal"] != tokens["rows"] and not weak:
        weak.append(f"token ids are equal on {tokens['equal']} of {tokens['rows']} rows")
    for entry, digest in report.get("product", {}).items():
        if manifest["files"].get(entry, {}).get("sha256") != digest:
            weak.append(f"it is about another {entry} than this file's")
    heads = [h for h in report["heads"] if backend in (None, h["backend"])]
    missing = {h["name"] for h in manifest["heads"]} - {h["head"] for h in heads}
    if missing:
        on = f" on {backend}" if backend else ""
        weak.append(f"it says nothing of {', '.join(sorted(missing))}{on}")
    wanted = bars.get("data_sha256")
    if wanted is not None and report["data_sha256"] != wanted:
        weak.append(f"its rows are {report['data']} ({report['data_sha256'][:12]}...), not those "
                    f"asked for ({wanted[:12]}...)")  # fmt: skip
    for name, bound in bars.items():
        if name in _BARS:
            weak += [line for head in heads for line in _beyond(name, bound, head)]
    return weak


def _beyond(name: str, bound: float, head: Report) -> list[str]:
    where = f"head {head['head']} on {head['backend']}"
    try:
        value = _BARS[name](head)
    except KeyError as error:
        return [f"{where}: it has no {error.args[0]}, which {name} needs; export the model anew"]
    if value is None:  # max_loss without targets is no proof; flips of a regression mean nothing
        needs = name in ("max_loss", "max_calibration_loss") and not head["rows_with_target"]
        return [f"{where}: no row had a target, which {name} needs"] if needs else []
    if name.startswith("min_") if value < bound else name.startswith("max_") and value > bound:
        return [f"{where}: {name} is {bound:g}, the report has {value:.4g}"]
    return []


def check_rows(where: str, manifest: Mapping[str, Any]) -> None:
    """Raise ProofError where the rows of a pruned vocabulary lie beside a model and are not those
    that it was made with, byte by byte."""
    vocabulary = manifest.get("x-vocabulary")
    rows = Path(f"{where}.rows")
    if not isinstance(vocabulary, Mapping) or not rows.is_file():
        return
    digest = hashlib.sha256()
    with rows.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != vocabulary.get("rows_sha256"):
        raise ProofError(
            f"{rows}: its SHA-256 is not the one in affectrt.json of {where}: it was changed, or "
            "is of another export"
        )


def signed_bytes(manifest: Mapping[str, Any]) -> bytes:
    """What a signature is of: the whole manifest, and with its ``files`` every byte of the model.

    JSON in ASCII of ``affectrt.json`` without ``parity.signature``, keys sorted, no blanks, numbers
    as Python prints them.
    """
    parity = {k: v for k, v in manifest["parity"].items() if k != SIGNATURE}
    text = json.dumps({**manifest, "parity": parity}, sort_keys=True, separators=(",", ":"))
    return _SIGNED_PREFIX + text.encode("ascii")


def check_signature(where: str, manifest: Mapping[str, Any], public_key: PublicKey) -> None:
    """Raise ProofError unless the manifest was signed with the private key of `public_key`.

    Args:
        public_key: an Ed25519 key in PEM, or the path of such a file.

    Raises:
        UnsupportedError: the package `cryptography` is not installed.
    """
    key = _read_public_key(public_key)
    report = manifest.get("parity")
    signature = report.get(SIGNATURE) if isinstance(report, Mapping) else None
    if not isinstance(signature, Mapping):
        raise ProofError(f"{where}: is not signed; `affectrt export --sign-key` signs")
    from cryptography.exceptions import InvalidSignature

    try:
        if signature["algorithm"] != "Ed25519":
            raise ValueError(f"algorithm {signature['algorithm']!r}")
        value = base64.b64decode(signature["value"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise ProofError(f"{where}: its signature cannot be read ({error})") from None
    try:
        key.verify(value, signed_bytes(manifest))
    except InvalidSignature:
        raise ProofError(
            f"{where}: the signature does not fit: the file was changed after it was signed, or "
            "signed with another key"
        ) from None


def read_key_bytes(key: PublicKey, what: str) -> bytes:
    """A key in PEM from bytes, or from the file of that name."""
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str | os.PathLike):
        raise InputError(
            f"{what} is {type(key).__name__}; give the path of a PEM file, or its bytes"
        )
    try:
        return Path(key).read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{what}: no such file {os.fspath(key)!r}") from None
    except OSError as error:
        raise InputError(f"{what} {os.fspath(key)!r}: {error.strerror or error}") from None


def cryptography_needed() -> UnsupportedError:
    """What is said where `cryptography` is missing."""
    return UnsupportedError(
        'cryptography is not installed; get it with: pip install "affectrt[signing]"'
    )


def _read_public_key(public_key: PublicKey) -> Any:
    pem = read_key_bytes(public_key, "public_key")
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise cryptography_needed() from None
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(
            "public_key is no Ed25519 public key in PEM; "
            "`openssl pkey -in key.pem -pubout` gives that of a private one"
        )
    return key
