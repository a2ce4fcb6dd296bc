"""Pictures of points: read back by another program, and colors by hand."""

import base64
import io

import numpy as np
from PIL import Image

from analysis.pages.figures import PALETTE
from analysis.pages.rasters import ENLARGED, class_color, class_field, png


def rgb(color):
    return [int(color[place : place + 2], 16) for place in (1, 3, 5)]


def test_a_picture_is_what_another_program_reads():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    kind, text = png(pixels).split(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))), pixels)


def test_a_field_is_light_where_networks_are_unsure_and_its_first_row_is_below():
    pixels = class_field(np.array([[0, 1], [2, 13]]), np.array([[1.0, 0.0], [0.5, 1.0]]))
    assert pixels.shape == (2 * ENLARGED, 2 * ENLARGED, 3)
    assert pixels[-1, 0].tolist() == rgb(PALETTE[0])
    assert pixels[-1, -1].tolist() == [255, 255, 255]
    assert np.abs(pixels[0, 0].astype(int) - (255 + np.array(rgb(PALETTE[2]))) / 2).max() <= 1
    assert pixels[0, -1].tolist() == rgb(class_color(13)) == rgb(PALETTE[3])


def test_stripes_are_where_they_are_asked_for():
    classes, sure = np.zeros((2, 2), int), np.ones((2, 2))
    plain = class_field(classes, sure)
    striped = class_field(classes, sure, np.array([[True, False], [False, False]]))
    changed = (plain != striped).any(2)
    assert changed[ENLARGED:, :ENLARGED].any()
    assert not changed[:ENLARGED].any()
    assert not changed[:, ENLARGED:].any()
