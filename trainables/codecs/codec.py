"""What a codec is, and the header that every payload begins with.

Shape letters: M members, P parameters.
"""

from __future__ import annotations

import binascii
from typing import Protocol, runtime_checkable

from torch import Tensor

from zoo.population import Population

CHECKSUM_BYTES = 2


@runtime_checkable
class Codec(Protocol):
    """Turns a block of networks into bytes and back.

    A payload is self-contained given the shared part: the number of members is stored in it. Rates are
    computed from ``len(payload)``, never from estimates.
    """

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def shared_bytes(self) -> int:
        """Bytes that the receiver must already hold: decoder, codebook, prior."""
        ...

    def compress(self, population: Population) -> bytes:
        """Encodes all rows of a population as one payload; the same input gives the same bytes."""
        ...

    def decompress(self, payload: bytes) -> Tensor:
        """Decodes a payload into ``weights_MP`` float32, rows in the order they were given."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """The whole codec, the sender's side and the receiver's: safetensors and JSON."""
        ...


def with_header(members: int, body: bytes) -> bytes:
    """Puts a header in front of a payload's body: the number of members and a checksum (CRC-16) of both.

    Without it most corrupted payloads would decode to some other networks.
    """
    header = number_to_bytes(members)
    return header + _checksum(header, body) + body


def read_header(payload: bytes) -> tuple[int, bytes]:
    """The inverse of :func:`with_header`: (members, body).

    Raises:
        ValueError: The payload ends inside its header, or its checksum does not match.
    """
    members, end = read_number(payload)
    checksum, body = payload[end : end + CHECKSUM_BYTES], payload[end + CHECKSUM_BYTES :]
    if len(checksum) < CHECKSUM_BYTES:
        raise ValueError(_cut(payload))
    if checksum != _checksum(payload[:end], body):
        raise ValueError(f"a payload of {len(payload)} bytes does not match its checksum; it is corrupted or truncated")
    return members, body


def number_to_bytes(number: int) -> bytes:
    """A whole number in 7 bits a byte, least significant first.

    Raises:
        ValueError: It is negative.
    """
    if number < 0:
        raise ValueError(f"members is {number}; allowed: 0 or more")
    found = bytearray()
    while number >= 0x80:
        found.append(0x80 | (number & 0x7F))
        number >>= 7
    return bytes([*found, number])


def read_number(payload: bytes) -> tuple[int, int]:
    """The inverse of :func:`number_to_bytes`: (number, where it ends).

    Raises:
        ValueError: It does not end.
    """
    number = 0
    for position, byte in enumerate(payload):
        number |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return number, position + 1
    raise ValueError(_cut(payload))


def _cut(payload: bytes) -> str:
    return f"a payload of {len(payload)} bytes ends inside its header; it is truncated or not a payload"


def _checksum(header: bytes, body: bytes) -> bytes:
    """CRC-16 of a payload without its checksum."""
    return binascii.crc_hqx(body, binascii.crc_hqx(header, 0xFFFF)).to_bytes(CHECKSUM_BYTES, "little")
