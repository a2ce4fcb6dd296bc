"""Pictures of points: arrays of pixels as they stand in a page, and fields of classes as colors."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from analysis.pages.figures import INK, PALETTE

# Each point of a field of classes becomes a square of so many pixels; stripes over it repeat after STRIPES pixels and
# are so many wide, and mix so much ink with its color.
ENLARGED, STRIPES, STRIPE, SHADE = 5, 6, 2, 0.75
PNG_START = b"\x89PNG\r\n\x1a\n"


def png(pixels: np.ndarray) -> str:
    """Pixels as a PNG image in a data address (PNG specification, W3C 2003, sections 5 and 11).

    Args:
        pixels: uint8 ``[height, width, 3]``, the upper row first.
    """
    height, width, _ = pixels.shape
    # Each line begins with the number of its filter: 0 is none.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    data = PNG_START + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def class_color(label: int) -> str:
    """The color of a class; beyond the palette they repeat."""
    return PALETTE[label % len(PALETTE)]


def class_field(classes: np.ndarray, confidence: np.ndarray, shaded: np.ndarray | None = None) -> np.ndarray:
    """A field of predictions as pixels: the class as color, the lighter the less sure.

    Args:
        classes: Whole numbers ``[height, width]``, the lowest row first.
        confidence: Share from 0, which is white, to 1, the full color; ``[height, width]``.
        shaded: Where stripes are drawn over it, bool ``[height, width]``.

    Returns:
        uint8 pixels, the upper row first, ``ENLARGED`` times as many along each side.
    """
    colors = np.array([_rgb(color) for color in PALETTE])[classes % len(PALETTE)]
    pixels = _enlarged(255 + confidence[..., None].clip(0, 1) * (colors - 255))
    if shaded is not None:
        rows, columns = np.indices(pixels.shape[:2])
        stripe = _enlarged(shaded) & ((rows + columns) % STRIPES < STRIPE)
        pixels[stripe] += SHADE * (np.array(_rgb(INK)) - pixels[stripe])
    return pixels[::-1].round().astype(np.uint8)


def _enlarged(field: np.ndarray) -> np.ndarray:
    return field.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
