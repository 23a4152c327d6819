"""A data set's structure walked over its bytes, before anything decodes it (PS3.5 7)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_node.errors import CannotUnderstand, Unreadable

BLOCK = 1 << 16
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_FIRST_GROUP = 0x0008  # PS3.5 7.1: 0000 to 0006 are no part of a data set
_DELIMITERS = 0xFFFE  # the group of items and what ends them
_LEAST = 8  # bytes of the shortest element
_LONG = frozenset(vr.encode() for vr in EXPLICIT_VR_LENGTH_32)
_SEQUENCES = frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")


@dataclass(frozen=True)
class Limits:
    """What a header may hold; more is refused before any of it is decoded."""

    nesting: int = 32
    elements: int = 200_000
    value_bytes: int = 256 << 20  # of one value, Pixel Data excepted
    header_bytes: int = 32 << 20  # of all the values together that are read


USUAL = Limits()


class Encoding(NamedTuple):
    """How a transfer syntax writes elements."""

    implicit: bool
    little_endian: bool


@dataclass(frozen=True)
class Pixels:
    """Pixel Data: its bytes where it is native, else its fragments without the offset table."""

    length: int
    fragments: int | None = None


@dataclass
class Structure:
    """Where the elements asked for lie, as (begin, end), and what Pixel Data there is."""

    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    pixels: Pixels | None = None


class _Level(NamedTuple):
    """A data set or a sequence that is being walked."""

    is_sequence: bool
    end: int  # its own, or that of whatever holds it
    is_open: bool  # undefined length: a delimiter ends it
    implicit: bool


def walk(
    read: Callable[[int, int], bytes],
    begin: int,
    end: int,
    encoding: Encoding,
    limits: Limits,
    wanted: Collection[int],
) -> Structure:
    """Walk a data set; ``read(offset, length)`` gives its bytes, fewer only where it ends.

    Nothing is taken in but headers of elements, in blocks. Places are of elements of the data set
    itself, sequences with all that is in them.

    Raises
    ------
    CannotUnderstand
        When a length lies, something stands where it must not, or a limit is passed.

    """
    return _Walk(read, begin, end, encoding, limits, wanted).run()


class _Walk:
    """One pass; the stack is ours, so that no nesting can exhaust Python's."""

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        begin: int,
        end: int,
        encoding: Encoding,
        limits: Limits,
        wanted: Collection[int],
    ) -> None:
        self._read = read
        self._end = end
        self._limits = limits
        self._wanted = wanted
        order = "<" if encoding.little_endian else ">"
        self._explicit = struct.Struct(f"{order}HH2sH").unpack_from
        self._plain = struct.Struct(f"{order}HHL").unpack_from
        self._long = struct.Struct(f"{order}L").unpack_from
        self._block, self._from, self._to = b"", begin, begin
        self._pos = begin
        self._elements = 0
        self._last: tuple[int, int] | None = None  # tag and beginning of the root's last element
        root = _Level(is_sequence=False, end=end, is_open=False, implicit=encoding.implicit)
        self._levels = [root]
        self._found = Structure()

    def run(self) -> Structure:
        levels = self._levels
        while levels:
            level = levels[-1]
            if not level.is_open and self._pos >= level.end:
                levels.pop()
            elif level.is_sequence:
                self._item(level)
            elif len(levels) > 1:
                self._element(level, at_root=False)
            elif self._found.pixels is not None and level.end - self._pos < _LEAST:
                break  # a byte or two of padding after the pixels
            else:
                self._element(level, at_root=True)
        self._note()
        total = sum(stop - start for start, stop in self._found.places.values())
        if total > self._limits.header_bytes:
            raise CannotUnderstand(
                f"the header holds {total} bytes, more than {self._limits.header_bytes}",
                Unreadable.HEADER_TOO_LARGE,
            )
        return self._found

    def _note(self) -> None:
        """Remember where the root's last element was, now that it has ended."""
        if self._last is not None:
            tag, begin = self._last
            self._found.places[tag] = (begin, self._pos)
            self._last = None

    def _item(self, level: _Level) -> None:
        tag, length = self._tag_and_length(level)
        if tag == ITEM:
            self._open(level, length, sequence=False, implicit=level.implicit)
        elif tag == SEQUENCE_END and level.is_open:
            self._levels.pop()
        else:
            raise _misplaced(tag)

    def _element(self, level: _Level, *, at_root: bool) -> None:
        begin = self._pos
        if at_root:
            self._note()
        at = self._offset(_LEAST, level)
        group, number, vr, length = self._explicit(self._block, at)
        tag = group << 16 | number
        self._pos += _LEAST
        # A VR that is none is implicit encoding amid explicit: senders do it, decoders follow.
        if level.implicit or not b"AA" <= vr <= b"ZZ":
            (length,) = self._long(self._block, at + 4)
            vr = b""
        elif vr in _LONG:
            at = self._offset(4, level)
            (length,) = self._long(self._block, at)
            self._pos += 4
        self._count()
        if group == _DELIMITERS:
            if tag != ITEM_END or not level.is_open:
                raise _misplaced(tag)
            self._levels.pop()
        elif at_root and tag in PIXEL_DATA:
            self._pixel_data(length, level)
        else:
            if at_root:
                self._begin(tag, begin)
            self._value(tag, vr, length, level)

    def _begin(self, tag: int, begin: int) -> None:
        """An element of the data set itself begins."""
        if tag >> 16 < _FIRST_GROUP and self._found.pixels is None:
            raise _misplaced(tag)
        if tag in self._wanted:
            self._last = (tag, begin)

    def _value(self, tag: int, vr: bytes, length: int, level: _Level) -> None:
        if length == UNDEFINED and vr not in {b"SQ", b"UN", b""}:
            self._fragments(level)  # an icon's pixels
        elif length == UNDEFINED or vr == b"SQ" or (vr == b"" and tag in _SEQUENCES):
            # PS3.5 6.2.2: a sequence whose VR is unknown is written implicitly.
            implicit = level.implicit or vr == b"UN"
            self._open(level, length, sequence=True, implicit=implicit)
        elif length > self._limits.value_bytes:
            raise CannotUnderstand(
                f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is {length} bytes long, "
                f"more than {self._limits.value_bytes}",
                Unreadable.VALUE_TOO_LONG,
            )
        else:
            self._skip(length, level)

    def _pixel_data(self, length: int, level: _Level) -> None:
        if length == UNDEFINED:
            self._found.pixels = Pixels(0, self._fragments(level))
        else:
            if self._pos + length > level.end:
                early = self._pos + length - level.end
                raise CannotUnderstand(
                    f"Pixel Data is cut off {early} bytes early", Unreadable.CUT_OFF
                )
            self._pos += length
            self._found.pixels = Pixels(length)

    def _fragments(self, level: _Level) -> int:
        """Walk the items of encapsulated Pixel Data to their delimiter (PS3.5 A.4); how many."""
        number = -1  # the offset table comes first, empty or not
        while True:
            if self._pos + _LEAST > level.end:
                raise CannotUnderstand("compressed Pixel Data is cut off", Unreadable.FRAGMENTS)
            tag, length = self._tag_and_length(level)
            if tag == SEQUENCE_END:
                return max(number, 0)
            if tag != ITEM or self._pos + length > level.end:
                raise CannotUnderstand(
                    "compressed Pixel Data is cut off or damaged", Unreadable.FRAGMENTS
                )
            self._pos += length
            number += 1

    def _tag_and_length(self, level: _Level) -> tuple[int, int]:
        at = self._offset(_LEAST, level)  # first: it may fetch another block
        group, number, length = self._plain(self._block, at)
        self._pos += _LEAST
        self._count()
        return group << 16 | number, length

    def _open(self, level: _Level, length: int, *, sequence: bool, implicit: bool) -> None:
        # Sequences and items take turns on the stack, above the root.
        if len(self._levels) > 2 * self._limits.nesting:
            raise CannotUnderstand(
                f"sequences are nested more than {self._limits.nesting} deep", Unreadable.TOO_DEEP
            )
        is_open = length == UNDEFINED
        end = level.end if is_open else self._pos + length
        if end > level.end:
            raise self._beyond(level)
        self._levels.append(_Level(sequence, end, is_open, implicit))

    def _skip(self, length: int, level: _Level) -> None:
        if self._pos + length > level.end:
            raise self._beyond(level)
        self._pos += length

    def _offset(self, length: int, level: _Level) -> int:
        """Where in the block the next ``length`` bytes are; they must be in the level."""
        pos = self._pos
        if pos + length > level.end:
            raise self._beyond(level)
        if pos + length > self._to:
            self._block = self._read(pos, BLOCK)
            self._from, self._to = pos, pos + len(self._block)
            if pos + length > self._to:
                raise CannotUnderstand("the object is cut off", Unreadable.CUT_OFF)
        return pos - self._from

    def _beyond(self, level: _Level) -> CannotUnderstand:
        if level.end == self._end:
            return CannotUnderstand("an element ends behind the object", Unreadable.CUT_OFF)
        return CannotUnderstand("an element ends behind its item", Unreadable.BEYOND_ITEM)

    def _count(self) -> None:
        self._elements += 1
        if self._elements > self._limits.elements:
            raise CannotUnderstand(
                f"more than {self._limits.elements} elements", Unreadable.TOO_MANY_ELEMENTS
            )


def _misplaced(tag: int) -> CannotUnderstand:
    return CannotUnderstand(
        f"({tag >> 16:04X},{tag & 0xFFFF:04X}) where it must not be", Unreadable.DISORDER
    )
