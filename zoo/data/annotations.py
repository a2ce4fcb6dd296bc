"""Photographs with boxes around objects, read from a file in COCO's format.

That of ``instances_*.json`` (Lin et al., "Microsoft COCO", ECCV 2014; cocodataset.org/#format-data): ``images`` with
``id``, ``file_name``, ``width`` and ``height``, ``categories`` with ``id`` and ``name``, and ``annotations`` with
``image_id``, ``category_id`` and ``bbox`` (left, top, width, height, in pixels); one with ``iscrowd`` 1 is of a crowd
that was not counted.

Shape letters: N photographs, K categories.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

# Larger files and images are refused rather than read: COCO's largest file has 470 MB, and a photograph of it up to
# 640 x 640 pixels.
LARGEST_FILE, LARGEST_IMAGE = 2**30, 2**26
Read = TypeVar("Read")


@dataclass(frozen=True)
class Photo:
    """A photograph.

    Attributes:
        file: Its name in the folder of images.
        size: Width and height in pixels.
    """

    file: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Box:
    """An object in a photograph.

    Attributes:
        photo: Its number among the photographs.
        category: The number of its category.
        corners: Left, top, right and bottom in pixels, within the photograph.
        crowd: Whether it is of many objects that were not counted.
    """

    photo: int
    category: int
    corners: tuple[float, float, float, float]
    crowd: bool

    @property
    def shortest(self) -> float:
        """Its shorter side; 0 of what lies outside the photograph, and of some boxes in COCO."""
        left, top, right, bottom = self.corners
        return min(right - left, bottom - top)


@dataclass(frozen=True)
class Annotations:
    """What a file of annotations says.

    Attributes:
        folder: Where the images are.
        photos: The photographs, by id.
        categories: Names of the categories, by id.
        boxes: The objects.
    """

    folder: Path
    photos: tuple[Photo, ...]
    categories: tuple[str, ...]
    boxes: tuple[Box, ...]

    def counts(self) -> np.ndarray:
        """How many objects of each category each photograph holds: int64 ``[N, K]``; -1 where there is a crowd."""
        counts_NK = np.zeros((len(self.photos), len(self.categories)), dtype=np.int64)
        for box in self.boxes:
            if not box.crowd:
                counts_NK[box.photo, box.category] += 1
        for box in self.boxes:
            if box.crowd:
                counts_NK[box.photo, box.category] = -1
        return counts_NK

    def numbers(self, categories: Sequence[str]) -> list[int]:
        """The numbers of some categories.

        Raises:
            ValueError: There is no such category.
        """
        unknown = [name for name in categories if name not in self.categories]
        if unknown:
            raise ValueError(f"category {unknown[0]!r} is not in the annotations; there are {_listed(self.categories)}")
        return [self.categories.index(name) for name in categories]

    def image(self, photo: int, corners: tuple[float, float, float, float] | None, side: int) -> np.ndarray:
        """A photograph, or a part of it, as a square: uint8 ``[3, side, side]``.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It cannot be read, or is not of the size that the annotations say.
        """
        from PIL import Image, UnidentifiedImageError

        known, file = self.photos[photo], self.folder / self.photos[photo].file
        try:
            with Image.open(file) as opened:
                if opened.size != known.size:
                    raise ValueError(
                        f"{file} is {opened.size[0]} x {opened.size[1]} pixels; the annotations say {known.size[0]} x "
                        f"{known.size[1]}: are these the images that belong to them?"
                    )
                square = opened.convert("RGB").resize((side, side), Image.Resampling.BOX, box=corners)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{file}, an image of the annotations, is not there") from error
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is no image that can be read ({error})") from error
        return np.asarray(square, dtype=np.uint8).transpose(2, 0, 1)


def read_annotations(annotations: str | Path, images: str | Path) -> Annotations:
    """Reads a file of annotations; images are not opened.

    Args:
        annotations: The JSON file.
        images: The folder of the images that it names.

    Raises:
        FileNotFoundError: The file or the folder is not there.
        ValueError: It is too large, no JSON, or not in COCO's format; the message says what is wrong with what entry.
    """
    path, folder = Path(annotations), Path(images)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; it is COCO's instances_train2017.json or one like it")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} with the images of {path.name}")
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise ValueError(f"{path} has {size:,} bytes; allowed: up to {LARGEST_FILE:,}")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error})") from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "categories", "annotations")
    ):
        raise ValueError(f"{path} is not in COCO's format: it needs lists of images, categories and annotations")
    reader = _Reader(path)
    photos = reader.by_id(content["images"], "images", reader.photo)
    categories = reader.by_id(content["categories"], "categories", reader.category)
    photo_of = {number: place for place, number in enumerate(photos)}
    category_of = {number: place for place, number in enumerate(categories)}
    boxes = tuple(
        reader.box(place, entry, list(photos.values()), photo_of, category_of)
        for place, entry in enumerate(content["annotations"])
    )
    names = tuple(categories.values())
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two categories have the same name")
    return Annotations(folder, tuple(photos.values()), names, boxes)


class _Reader:
    """Reads entries of one file, and says which is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def by_id(self, entries: Sequence[Any], key: str, read: Callable[[int, Any], Read]) -> dict[int, Read]:
        """Entries by their ids, in the order of these."""
        found: dict[int, Read] = {}
        for place, entry in enumerate(entries):
            number = self.field(key, place, entry, "id", int)
            if number in found:
                raise ValueError(f"{self.path}: {key}[{place}] has the id {number}, as one before it")
            found[number] = read(place, entry)
        return dict(sorted(found.items()))

    def photo(self, place: int, entry: Any) -> Photo:
        """A photograph."""
        file = self.field("images", place, entry, "file_name", str)
        size = [self.field("images", place, entry, name, int) for name in ("width", "height")]
        if not 0 < size[0] * size[1] <= LARGEST_IMAGE or min(size) < 1:
            raise ValueError(
                f"{self.path}: images[{place}] is {size[0]} x {size[1]}; allowed: {LARGEST_IMAGE:,} pixels"
            )
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise ValueError(f"{self.path}: images[{place}] has file_name {file!r}; allowed: names within the folder")
        return Photo(file, (size[0], size[1]))

    def category(self, place: int, entry: Any) -> str:
        """The name of a category."""
        return str(self.field("categories", place, entry, "name", str))

    def box(
        self,
        place: int,
        entry: Any,
        photos: Sequence[Photo],
        photo_of: Mapping[int, int],
        category_of: Mapping[int, int],
    ) -> Box:
        """An object."""
        ids = [self.field("annotations", place, entry, name, int) for name in ("image_id", "category_id")]
        for name, known, number in zip(("image", "category"), (photo_of, category_of), ids, strict=True):
            if number not in known:
                raise ValueError(f"{self.path}: annotations[{place}] is of {name} {number}, which is not in the file")
        corners = self.field("annotations", place, entry, "bbox", list)
        if len(corners) != 4 or not all(type(each) in (int, float) and math.isfinite(each) for each in corners):
            raise ValueError(
                f"{self.path}: annotations[{place}] has bbox {corners!r}; expected [left, top, width, height]"
            )
        left, top, width, height = corners
        if width < 0 or height < 0:
            raise ValueError(f"{self.path}: annotations[{place}] has bbox {corners!r}; allowed: sizes of 0 or more")
        photo = photo_of[ids[0]]
        across, down = photos[photo].size
        left, top, right, bottom = (
            min(max(0.0, edge), most)
            for edge, most in zip((left, top, left + width, top + height), (across, down) * 2, strict=True)
        )
        return Box(photo, category_of[ids[1]], (left, top, right, bottom), bool(entry.get("iscrowd", 0)))

    def field(self, key: str, place: int, entry: Any, name: str, kind: type) -> Any:
        """A field of an entry."""
        value = entry.get(name) if isinstance(entry, dict) else None
        if type(value) is not kind:
            expected = {int: "a whole number", str: "a text", list: "a list"}[kind]
            raise ValueError(f"{self.path}: {key}[{place}] has {name} {value!r}; expected {expected}")
        return value


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
