"""Errors of the product, each of which knows what the edge answers.

FapsNodeError
├── ConfigurationError      a setting is wrong: key, value, what would be right
├── IngestError             a C-STORE that is refused; ``dimse_status`` goes on the wire
│   ├── OutOfResources      0xA700, the sender tries again
│   ├── IdentityMismatch    0xA900, command and data set disagree
│   └── CannotUnderstand    0xC000 family, the bytes are not a data set we can read
├── LedgerError             the database said no
│   ├── LeaseLost           somebody else holds this job now: stop, change nothing
│   ├── CommitUnknown       the connection was lost while it committed: done, or not
│   └── RowRefused          what was to be written breaks a rule of the tables
├── ArchiveError            a file cannot be kept or is not what it was
├── UnsuitableExam          nothing in the exam may be analysed; reported, never retried
├── PixelDecodeError        an image's pixels cannot be read; reported, never retried
├── BundleError             a model bundle is damaged or does not fit
└── PeerError               an association with a peer did not do what was asked
    └── NothingAccepted     the peer takes none of the presentation contexts
"""

from __future__ import annotations

import enum


class FapsNodeError(Exception):
    """Base of all errors that this product raises on purpose.

    ``code`` is the reason in the ledger, ``retry`` whether trying again may help.
    """

    code = "error"
    retry = False


class ConfigurationError(FapsNodeError):
    """A setting is wrong; the message names the key, the value and what would be right."""

    code = "configuration"


class IngestError(FapsNodeError):
    """A C-STORE request that is refused (PS3.4 Table B.2-1)."""

    code = "ingest"
    dimse_status = 0xC000


class OutOfResources(IngestError):  # noqa: N818 - the standard's own word for it
    """Disk or database cannot take the object now; the sender should try again."""

    code = "out_of_resources"
    retry = True
    dimse_status = 0xA700  # PS3.4 B.2.3: Refused, Out of Resources


class IdentityMismatch(IngestError):  # noqa: N818 - the standard's own word for it
    """The command names another SOP Class or Instance than the data set."""

    code = "identity_mismatch"
    dimse_status = 0xA900  # PS3.4 B.2.3: Error, Data Set does not match SOP Class


class Unreadable(enum.IntEnum):
    """Why an object cannot be taken; the value goes on the wire (PS3.4 B.2.3: Cxxx)."""

    DATA_SET = 0xC000  # anything that has no code of its own
    CUT_OFF = 0xC010  # an element goes on beyond the end of the object
    BEYOND_ITEM = 0xC011  # an element goes on beyond the item or sequence that it is in
    TOO_DEEP = 0xC012
    TOO_MANY_ELEMENTS = 0xC013
    VALUE_TOO_LONG = 0xC014
    HEADER_TOO_LARGE = 0xC015
    NO_PIXEL_DATA = 0xC016
    PIXEL_LENGTH = 0xC017  # not what rows, columns, samples, frames, bits make
    FRAGMENTS = 0xC018  # compressed Pixel Data that is damaged or cut off
    DISORDER = (
        0xC019  # something stands where it must not: a stray delimiter, no item in a sequence
    )
    NO_UID = 0xC01A  # a UID that identifies the object is missing or is none


class CannotUnderstand(IngestError):  # noqa: N818 - the standard's own word for it
    """The bytes are no data set that can be read, or no whole image."""

    code = "cannot_understand"
    dimse_status = 0xC000  # PS3.4 B.2.3: Error, Cannot understand

    def __init__(self, message: str, why: Unreadable = Unreadable.DATA_SET) -> None:
        super().__init__(message)
        self.dimse_status = why.value


class LedgerError(FapsNodeError):
    """The database refused a change."""

    code = "ledger"
    retry = True


class LeaseLost(LedgerError):  # noqa: N818 - an event, not a fault
    """Another worker holds the job now: nothing may be written any more."""

    code = "lease_lost"
    retry = False


class CommitUnknown(LedgerError):  # noqa: N818 - what is known, not a fault
    """The database went away while it committed; the row may be there, or may not."""

    code = "commit_unknown"


class RowRefused(LedgerError):  # noqa: N818 - what the database did, not a fault of it
    """The database works, and does not take this row; others it may take."""

    code = "row_refused"


class ArchiveError(FapsNodeError):
    """A file cannot be written, is missing, or is not what its name says."""

    code = "archive"
    retry = True


class UnsuitableExam(FapsNodeError):  # noqa: N818 - a finding about an exam, not a fault
    """Nothing in the exam may be analysed; the reason goes into the report."""

    code = "unsuitable"


class PixelDecodeError(FapsNodeError):
    """The pixels of an image cannot be decoded, or are not what its header says."""

    code = "pixel_decode"


class BundleError(FapsNodeError):
    """A model bundle is damaged, incomplete, or not made for this version."""

    code = "bundle"


class PeerError(FapsNodeError):
    """An association with a peer was refused or ended without an answer."""

    code = "peer"
    retry = True


class NothingAccepted(PeerError):  # noqa: N818 - what the peer said, not a fault
    """The peer accepted the association and none of its presentation contexts."""

    code = "nothing_accepted"
    retry = False
