"""Signatures of model files: Ed25519 (RFC 8032) over the manifest, which holds the hash of every
entry. `affectrt.proof` reads them; keys are made with ``openssl genpkey -algorithm ed25519``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from affectrt.errors import InputError
from affectrt.proof import (
    SIGNATURE,
    PublicKey,
    cryptography_needed,
    read_key_bytes,
    signed_bytes,
)


def signer(private_key: PublicKey) -> Callable[[dict[str, Any]], None]:
    """A function that puts a signature into a whole manifest, under ``parity``.

    Args:
        private_key: an unencrypted Ed25519 private key in PEM, or the path of such a file.

    Raises:
        InputError: no such key.
        NotFoundError: no such file.
        UnsupportedError: the package `cryptography` is not installed.
    """
    pem = read_key_bytes(private_key, "the key to sign with")
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise cryptography_needed() from None
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):  # TypeError: it has a password
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            "the key to sign with is no unencrypted Ed25519 private key in PEM; "
            "`openssl genpkey -algorithm ed25519 -out key.pem` makes one"
        )
    own = key
    public = hashlib.sha256(own.public_key().public_bytes_raw()).hexdigest()

    def sign(manifest: dict[str, Any]) -> None:
        value = base64.b64encode(own.sign(signed_bytes(manifest))).decode("ascii")
        manifest["parity"][SIGNATURE] = {"algorithm": "Ed25519", "key": public, "value": value}

    return sign
