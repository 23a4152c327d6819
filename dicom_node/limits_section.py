"""The settings' limits on what a received object may hold."""

from __future__ import annotations

from pydantic import Field

from dicom_node.domain.structure import Limits as Bounds
from dicom_node.sections import Section

MIB = 1 << 20


class Limits(Section):
    """What an object's header may hold; more is refused for good, before it is decoded."""

    max_nesting: int = Field(32, ge=1, description="Sequences within sequences")
    max_elements: int = Field(200_000, ge=1000, description="Elements of an object")
    max_value_mb: float = Field(256.0, gt=0, description="MiB of one value, Pixel Data excepted")
    max_header_mb: float = Field(32.0, gt=0, description="MiB of the values that are decoded")

    def bounds(self) -> Bounds:
        """As the value that the domain works with."""
        return Bounds(
            nesting=self.max_nesting,
            elements=self.max_elements,
            value_bytes=int(self.max_value_mb * MIB),
            header_bytes=int(self.max_header_mb * MIB),
        )
