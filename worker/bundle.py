"""A model bundle as a folder: its files, its checksums, who signed it, its card."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from dicom_node.errors import BundleError
from worker.contracts import ModelCard

CARD, SUMS, SIGNATURE, GOLDEN = "card.toml", "SHA256SUMS", "SHA256SUMS.sig", "golden.safetensors"
SEGMENTATION: Final = "segmentation"
CLASSIFICATION: Final = "classification"
NETWORKS = (SEGMENTATION, CLASSIFICATION)  # each a table of the card, each a file of weights
SHIPPED = Path(__file__).parent / "bundles"


@dataclass(frozen=True)
class Bundle:
    """A folder whose files are what its checksums say; ``raw`` is the whole card."""

    path: Path
    card: ModelCard
    raw: Mapping[str, Any]

    @property
    def networks(self) -> tuple[str, ...]:
        """Which of the two networks are in it."""
        return tuple(name for name in NETWORKS if name in self.raw)


def default_bundle() -> Path:
    """Folder of the bundle that is shipped with the product."""
    return SHIPPED / "faps-first"


def weights_of(network: str) -> str:
    """Name of the file with the weights of ``network``."""
    return f"{network}.safetensors"


def open_bundle(path: Path, trusted: Sequence[Path] = ()) -> Bundle:
    """The bundle in ``path``, every file of it found unchanged.

    It counts as signed when one of the ``trusted`` public keys (PEM files), or of those shipped
    with the product, made its signature.

    Raises
    ------
    BundleError
        When a file is missing or changed, the card cannot be read, or the signature is nobody's
        who is trusted.
    """
    digest = verify(path)
    card, raw = _card(path, digest)
    bundle = Bundle(path=path, card=card, raw=raw)
    if not bundle.networks:
        raise BundleError(f"bundle {path}: card.toml describes no network; install it again")
    signer = _signer(path, (*sorted(SHIPPED.glob("*.pub.pem")), *trusted))
    return replace(bundle, card=replace(card, signed=signer is not None))


def verify(path: Path) -> str:
    """SHA-256 over ``SHA256SUMS``, after every file of the bundle was found unchanged.

    Raises
    ------
    BundleError
        When a file is missing, not listed, or not what it was.
    """
    if not (path / SUMS).is_file():
        raise BundleError(f"bundle {path}: there is no {SUMS}; point to a bundle folder")
    text = (path / SUMS).read_bytes()
    lines = (line.partition("  ") for line in text.decode(errors="replace").splitlines())
    listed = {name: digest for digest, _, name in lines if name}
    weights = [weights_of(network) for network in NETWORKS if (path / weights_of(network)).exists()]
    for name in dict.fromkeys((CARD, GOLDEN, *weights, *listed)):
        if name not in listed or not (path / name).is_file():
            raise BundleError(f"bundle {path}: {name} is missing; install the bundle again")
        if hashlib.sha256((path / name).read_bytes()).hexdigest() != listed[name]:
            raise BundleError(
                f"bundle {path}: {name} is not what {SUMS} says (edited or damaged); "
                "install the bundle again"
            )
    return hashlib.sha256(text).hexdigest()


def sign(path: Path, key: Path) -> None:
    """Write the detached Ed25519 signature (RFC 8032) over the bundle's checksums.

    Raises
    ------
    BundleError
        When the bundle is damaged or ``key`` is no Ed25519 private key in PEM.
    """
    verify(path)
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleError(
            f"{key}: no private key can be read ({error}); "
            f"make one: openssl genpkey -algorithm ed25519 -out {key}"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise BundleError(f"{key}: is no Ed25519 key; make one: openssl genpkey -algorithm ed25519")
    (path / SIGNATURE).write_bytes(private.sign((path / SUMS).read_bytes()))


def _signer(path: Path, trusted: Sequence[Path]) -> Path | None:
    """The trusted key that made the signature; None when there is no signature."""
    if not (path / SIGNATURE).is_file():
        return None
    signature, signed = (path / SIGNATURE).read_bytes(), (path / SUMS).read_bytes()
    for key in trusted:
        try:
            _public(key).verify(signature, signed)
        except InvalidSignature:
            continue
        return key
    raise BundleError(
        f"bundle {path}: its signature is of none of the {len(trusted)} trusted keys; install the "
        "bundle again, or name its maker's public key in worker.trusted_keys"
    )


def _public(key: Path) -> Ed25519PublicKey:
    try:
        public = load_pem_public_key(key.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"trusted key {key}: cannot be read ({error}); give a PEM file") from None
    if not isinstance(public, Ed25519PublicKey):
        raise BundleError(f"trusted key {key}: is no Ed25519 public key; ask the bundle's maker")
    return public


def _card(path: Path, digest: str) -> tuple[ModelCard, dict[str, Any]]:
    """The card as value and as the whole table."""
    try:
        raw = tomllib.loads((path / CARD).read_text(encoding="utf-8"))
        card = ModelCard(
            name=str(raw["name"]),
            version=str(raw["version"]),
            uuid=str(raw["uuid"]),
            sha256=digest,
            family=str(raw["family"]),
            thresholds={key: float(value) for key, value in raw["thresholds"].items()},
            statement=str(raw["statement"]),
            clinical=bool(raw["clinical"]),
            raw=raw,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"bundle {path}: card.toml cannot be read ({error}); use a bundle of this version"
        ) from error
    return card, raw
