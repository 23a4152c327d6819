"""Decoding in a process of its own: damaged images kill that one at most."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from dicom_node.errors import PixelDecodeError
from tests.coded_images import breast_like, image
from worker.decoder import Decoder, decode_apart
from worker.exam.decode import CODECS, END_OF_IMAGE, Compressed, Damaged, decode

ONE_OF_EACH = list({name: syntax for syntax, name in CODECS.items()}.values())
BOMB_SIDE = 20_000  # pixels that a small stream promises: 1.5 GiB for OpenJPEG


def compressed(pixels, syntax):
    frame = next(generate_frames(image(pixels, syntax).PixelData, number_of_frames=1))
    return Compressed(CODECS[syntax], frame, pixels.shape, pixels.dtype.itemsize, signed=False)


def mutated(stream, rng):
    """A stream with some of its bytes changed, doubled or left out."""
    damaged = bytearray(stream)
    for _ in range(rng.choice((1, 1, 2, 5, 40))):
        # Headers decide on memory and tables: half of the damage is done there.
        where = rng.randrange(min(len(damaged), rng.choice((80, len(damaged)))))
        match rng.randrange(5):
            case 0:
                damaged[where] = rng.randrange(256)
            case 1:
                damaged[where] ^= 1 << rng.randrange(8)
            case 2:
                damaged[where : where + 2] = rng.choice((b"\xff\xff", b"\0\0", b"\x7f\xff"))
            case 3:
                del damaged[where : where + rng.randrange(1, 9)]
            case _:
                damaged[where:where] = damaged[max(0, where - rng.randrange(1, 30)) : where]
    return bytes(damaged)


def decoded_or_refused(syntax, count, seed):
    """How many of ``count`` mutated streams give pixels, each of the others its reason."""
    rng = random.Random(seed)  # noqa: S311 - chooses test data
    whole = breast_like()
    stream = next(generate_frames(image(whole, syntax).PixelData, number_of_frames=1))
    decoded = 0
    for _ in range(count):
        # Without its end a stream would be refused before any codec sees it.
        end = b"" if syntax == uid.RLELossless else END_OF_IMAGE
        ds = image(whole, syntax, PixelData=encapsulate([mutated(stream, rng) + end]))
        with suppress(PixelDecodeError):
            assert decode(ds, decode_apart).shape == whole.shape
            decoded += 1
    return decoded


@pytest.mark.parametrize("syntax", ONE_OF_EACH, ids=lambda s: s.keyword)
def test_mutated_streams_end_in_pixels_or_in_a_reason(syntax):
    assert 0 < decoded_or_refused(syntax, 300, seed=7) < 300


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("syntax", ONE_OF_EACH, ids=lambda s: s.keyword)
def test_thousands_of_mutated_streams_end_in_pixels_or_in_a_reason(syntax):
    assert 0 < decoded_or_refused(syntax, 5000, seed=11) < 5000


def only_child(decoder):
    return decoder._idle[0]._process.pid


def test_the_process_serves_one_image_after_another():
    decoder, pixels = Decoder(), breast_like()
    np.testing.assert_array_equal(decoder(compressed(pixels, uid.JPEGLSLossless)), pixels)
    pid = only_child(decoder)
    larger = breast_like(rows=300)
    np.testing.assert_array_equal(decoder(compressed(larger, uid.RLELossless)), larger)
    assert only_child(decoder) == pid
    decoder.close()


def test_pixels_that_somebody_holds_are_not_overwritten():
    decoder, pixels = Decoder(), breast_like()
    part = decoder(compressed(pixels, uid.JPEGLSLossless))[1:, ::2]
    other = decoder(compressed(pixels[::-1].copy(), uid.JPEGLSLossless))
    np.testing.assert_array_equal(part, pixels[1:, ::2])
    np.testing.assert_array_equal(other, pixels[::-1])
    del part, other
    assert len(decoder._idle) == 2
    decoder.close()


def test_a_process_that_was_killed_is_replaced_and_the_image_decoded():
    decoder, pixels = Decoder(), breast_like()
    decoder(compressed(pixels, uid.JPEGLSLossless))
    killed = only_child(decoder)
    os.kill(killed, signal.SIGKILL)  # as the system does when memory runs out
    again = decoder(compressed(pixels, uid.JPEGLSLossless))
    np.testing.assert_array_equal(again, pixels)
    del again
    assert only_child(decoder) != killed
    decoder.close()


@pytest.mark.parametrize(("end", "words"), [
    (signal.SIGSEGV, "crashed, SIGSEGV"),
    (signal.SIGPROF, "10 s of processor time"),
])  # fmt: skip
def test_a_codec_that_takes_its_process_along_is_named(end, words):
    decoder, pixels = Decoder(), breast_like()
    decoder(compressed(pixels, uid.JPEGLSLossless))
    os.kill(only_child(decoder), end)
    with pytest.raises(Damaged, match=words):
        decoder(compressed(pixels, uid.JPEGLSLossless))
    np.testing.assert_array_equal(decoder(compressed(pixels, uid.JPEGLSLossless)), pixels)
    decoder.close()


def test_an_error_that_a_codec_swallows_is_not_lost():
    pixels = breast_like()
    whole = compressed(pixels, uid.HTJ2KLossless)
    damaged = replace(whole, frame=whole.frame[:-300] + b"\xff" * 298 + END_OF_IMAGE)
    with pytest.raises(Damaged, match="ojph"):
        decode_apart(damaged)


def test_a_small_stream_that_unpacks_to_more_memory_than_allowed_is_refused():
    pixels = breast_like()
    whole = compressed(pixels, uid.JPEG2000Lossless)
    frame = bytearray(whole.frame)
    for place in (8, 12, 24, 28):  # of the image and of its only tile, T.800 A.5.1
        frame[place : place + 4] = BOMB_SIDE.to_bytes(4, "big")
    decoder = Decoder()
    with pytest.raises(Damaged) as refusal:
        decoder(replace(whole, frame=bytes(frame), shape=(BOMB_SIDE, BOMB_SIDE)))
    assert not refusal.value.misfit
    np.testing.assert_array_equal(decoder(whole), pixels)
    decoder.close()


def test_a_header_that_asks_for_all_memory_is_refused_before_anything_is_decoded():
    ds = image(breast_like(), uid.JPEG2000Lossless, Rows=65535, Columns=65535)
    with pytest.raises(PixelDecodeError, match="no mammogram is larger"):
        decode(ds, pytest.fail)
