"""Key packets of H.264 and H.265: which of them a decoder can really start from.

A container's key flag also marks recovery points: open groups of pictures,
whose leading pictures need what came before, and intra refresh, where no
picture is whole. Sources: ITU-T H.264 (7.3.1, 7.3.3), ITU-T H.265 (7.3.1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, SupportsBytes

KeyKind = Literal["refresh", "recovery"]
"""``refresh``: nothing later refers to anything earlier. ``recovery``: a start that has to be checked."""

_H264_SLICE, _H264_IDR = 1, 5
_H265_IDR = (19, 20)
_H265_RANDOM_ACCESS = range(16, 24)
_INTRA_SLICES = (2, 4, 7, 9)


def key_kind(codec: str, packet: SupportsBytes, length_size: int) -> KeyKind | None:
    """Classifies a packet that its container calls a key packet.

    Args:
        codec: libav's codec name; for others than h264 and hevc the container is believed.
        packet: the packet; read for these two codecs alone.
        length_size: bytes of the length before each NAL unit, 0 for start codes (Annex B).

    Returns:
        None where decoding cannot start here, whatever the container says.
    """
    if codec == "h264":
        types = [(unit[0] & 31, unit) for unit in nal_units(bytes(packet), length_size)]
        if any(kind == _H264_IDR for kind, _ in types):
            return "refresh"
        slices = [unit for kind, unit in types if kind == _H264_SLICE]
        return "recovery" if slices and all(_slice_type(unit) in _INTRA_SLICES for unit in slices) else None
    if codec == "hevc":
        kinds = [unit[0] >> 1 & 63 for unit in nal_units(bytes(packet), length_size)]
        if any(kind in _H265_IDR for kind in kinds):
            return "refresh"
        return "recovery" if any(kind in _H265_RANDOM_ACCESS for kind in kinds) else None
    return "recovery"


def nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """Yields the non-empty NAL units of a packet."""
    if length_size:
        at = 0
        while at + length_size < len(data):
            length = int.from_bytes(data[at : at + length_size])
            at += length_size
            if length:
                yield data[at : at + length]
            at += length
    else:
        yield from (unit for unit in data.split(b"\x00\x00\x01")[1:] if unit)


def _slice_type(unit: bytes) -> int:
    """Reads slice_type from a slice header: the second of two Exp-Golomb numbers after the NAL byte."""
    bits = "".join(f"{byte:08b}" for byte in unit[1:9])
    at = 0
    value = -1
    for _ in range(2):
        zeros = len(bits[at:]) - len(bits[at:].lstrip("0"))
        value = int(bits[at + zeros : at + 2 * zeros + 1] or "0", 2) - 1
        at += 2 * zeros + 1
    return value
