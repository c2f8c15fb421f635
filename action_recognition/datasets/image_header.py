"""The size that a JPEG or PNG declares, read from its first bytes without decoding a pixel.

Layouts: ITU-T T.81, annex B (JPEG), and the PNG specification, 5.3 and 11.2.2.
"""

from __future__ import annotations

import struct

PNG_START = b'\x89PNG\r\n\x1a\n'
JPEG_START = b'\xff\xd8'
#: The size comes after tables and camera data, of at most 64 KB each.
LONGEST_HEADER = 2**20
#: Start-of-frame markers: all of 0xC0 to 0xCF but DHT, JPG and DAC.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers that stand alone: TEM, RST0 to RST7, SOI.
JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels that an encoded image declares; None: no JPEG or PNG header."""
    if data.startswith(PNG_START):
        if len(data) < 24 or data[12:16] != b'IHDR':
            return None
        width, height = struct.unpack('>II', data[16:24])
        return width, height
    if data.startswith(JPEG_START):
        return _jpeg_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = len(JPEG_START)
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # any number of fill bytes may come before a marker
            at += 1
        elif marker in JPEG_BARE:
            at += 2
        elif marker in JPEG_FRAMES:
            height, width = struct.unpack('>HH', data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return None
