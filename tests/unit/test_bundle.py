"""Who signed a bundle, and what that is worth."""

from __future__ import annotations

import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from dicom_node.errors import BundleError
from tests.small_bundle import small_bundle
from worker.bundle import default_bundle, open_bundle, sign
from worker.load import load

PEM = serialization.Encoding.PEM


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundle") / "small")


@pytest.fixture
def unsigned(written, tmp_path):
    return shutil.copytree(written, tmp_path / "bundle")


def private(path, key):
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(PEM, form, plain))
    return path


def public(path, key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(key.public_key().public_bytes(PEM, form))
    return path


def test_the_shipped_bundle_is_signed_by_the_shipped_key():
    assert open_bundle(default_bundle()).card.signed


def test_an_unsigned_bundle_is_taken_only_where_that_is_allowed(unsigned):
    with pytest.raises(BundleError, match=r"not signed; sign it .* or allow unsigned"):
        load(unsigned)
    assert not load(unsigned, allow_unsigned=True).card.signed


def test_a_site_signs_its_own_bundle_and_trusts_its_own_key(unsigned, tmp_path):
    key = Ed25519PrivateKey.generate()
    sign(unsigned, private(tmp_path / "site.pem", key))
    with pytest.raises(BundleError, match="none of the 1 trusted keys"):
        open_bundle(unsigned)
    trusted = public(tmp_path / "site.pub.pem", key)
    assert load(unsigned, trusted=[trusted]).card.signed


def test_a_signature_over_other_checksums_is_refused(unsigned):
    shutil.copy(default_bundle() / "SHA256SUMS.sig", unsigned)
    with (unsigned / "SHA256SUMS").open("a") as sums:
        sums.write("\n")
    with pytest.raises(BundleError, match=r"its signature is of none"):
        open_bundle(unsigned)


def test_a_file_beside_the_list_is_not_taken_for_a_part_of_the_bundle(unsigned):
    text = (unsigned / "SHA256SUMS").read_text().splitlines(keepends=True)
    kept = [line for line in text if "classification" not in line]
    (unsigned / "SHA256SUMS").write_text("".join(kept))
    with pytest.raises(BundleError, match=r"classification\.safetensors is missing"):
        open_bundle(unsigned)


def test_a_key_of_another_kind_is_refused_with_the_command_that_makes_one(unsigned, tmp_path):
    rsa = private(tmp_path / "rsa.pem", generate_private_key(65537, 2048))
    with pytest.raises(BundleError, match="openssl genpkey -algorithm ed25519"):
        sign(unsigned, rsa)
    with pytest.raises(BundleError, match=r"no private key can be read"):
        sign(unsigned, tmp_path / "nothing.pem")


def test_a_trusted_key_that_is_none_is_named(unsigned, tmp_path):
    (unsigned / "SHA256SUMS.sig").write_bytes(bytes(64))
    broken = tmp_path / "broken.pub.pem"
    broken.write_text("hello")
    with pytest.raises(BundleError, match=r"trusted key .*broken\.pub\.pem: cannot be read"):
        open_bundle(unsigned, [broken])
