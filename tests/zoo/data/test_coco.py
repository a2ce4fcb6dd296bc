"""COCO's format: a small file of it, written here, becomes counts, photographs that ask, and cut-outs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data.annotations import read_annotations
from zoo.data.coco import counted_photos, cut_outs
from zoo.data.scenes import ANSWERS, compose

NAMES = ("person", "dog", "car")
COLORS = {"person": (255, 0, 0), "dog": (0, 255, 0), "car": (0, 0, 255)}
# Ids as COCO has them: with gaps, in no order.
CATEGORY_IDS = {"person": 18, "dog": 1, "car": 3}


def written(folder, name, photos):
    """Photographs of 40 x 30 pixels on black, each a list of (category, left, top) of boxes of 10 x 8 pixels."""
    images = folder / name
    images.mkdir()
    content = {
        "info": {"year": 2017},
        "images": [],
        "categories": [{"id": CATEGORY_IDS[each], "name": each, "supercategory": "x"} for each in NAMES],
        "annotations": [],
    }
    for number, boxes in enumerate(photos):
        pixels = np.zeros((30, 40, 3), dtype=np.uint8)
        photo = 1000 - 7 * number
        for category, left, top in boxes:
            pixels[top : top + 8, left : left + 10] = COLORS[category]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": photo,
                    "category_id": CATEGORY_IDS[category],
                    "bbox": [left, top, 10.0, 8.0],
                    "area": 80.0,
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
        Image.fromarray(pixels).save(images / f"{photo:012d}.png")
        content["images"].append({"id": photo, "file_name": f"{photo:012d}.png", "width": 40, "height": 30})
    return content, images


def saved(folder, content, name="instances.json"):
    (folder / name).write_text(json.dumps(content))
    return folder / name


PHOTOS = [
    [("person", 0, 0), ("person", 12, 0), ("dog", 0, 20)],
    [("car", 5, 5)],
    [("dog", 0, 0), ("dog", 12, 0), ("dog", 24, 0), ("dog", 0, 10), ("person", 20, 20)],
    [],
    [("person", 30, 22), ("car", 0, 0)],
    [("dog", 3, 3), ("car", 20, 3)],
] * 4


@pytest.fixture
def source(tmp_path):
    content, images = written(tmp_path, "images", PHOTOS)
    return saved(tmp_path, content), images


def test_counts_are_those_of_the_boxes(tmp_path):
    content, images = written(tmp_path, "images", PHOTOS)
    content["annotations"][1]["iscrowd"] = 1
    found = read_annotations(saved(tmp_path, content), images)
    assert found.categories == ("dog", "car", "person"), "in the order of their ids"
    of_photo = {photo.file: counts.tolist() for photo, counts in zip(found.photos, found.counts(), strict=True)}
    assert of_photo["000000001000.png"] == [1, 0, -1], "a crowd is not counted"
    assert of_photo["000000000986.png"] == [4, 0, 1]
    assert of_photo["000000000979.png"] == [0, 0, 0]


def test_photographs_ask_how_many_there_are(source):
    data = counted_photos("photos", source, source, ("dog", "person"), side=20)
    assert data.input_shape == (3, 20, 20)
    assert data.classes == 2 * ANSWERS
    images, labels = data.test.values, data.test.targets
    # Of six photographs two have 1 dog, one has 4 that count as 3, and of those without there are as many as with one.
    assert labels.bincount(minlength=8).tolist() == [8, 8, 0, 4, 8, 8, 4, 0]
    four = images[labels == 3][0]
    assert (four[1] > 200).sum() == pytest.approx(4 * 80 / 4 * 20 / 15, rel=0.3), "it is squeezed, and green"
    assert len(data.train) + len(data.validation) == len(data.test)
    seen = {image.numpy().tobytes() for image in data.train.values}
    assert len(seen) <= 6


def test_photographs_of_training_and_validation_are_different_ones(tmp_path):
    photos = [[("dog", left, 0)] for left in range(20)] + [[("person", 0, 0)]] * 5
    content, images = written(tmp_path, "images", photos)
    path = saved(tmp_path, content)
    for data in (
        counted_photos("photos", (path, images), (path, images), ("dog",), side=40),
        cut_outs("objects", (path, images), (path, images), ("dog", "person"), side=8),
    ):
        assert 0 < len(data.validation) < len(data.train)
    photos = counted_photos("photos", (path, images), (path, images), ("dog",), side=40)
    with_dogs = [part.values[part.targets == 1] for part in (photos.train, photos.validation)]
    assert not {image.numpy().tobytes() for image in with_dogs[0]} & {image.numpy().tobytes() for image in with_dogs[1]}


def test_cut_outs_show_the_object_alone(source):
    data = cut_outs("objects", source, source, NAMES, side=8, most=6)
    assert data.classes == 3
    assert data.test.targets.bincount().tolist() == [6, 6, 6]
    for image, label in zip(data.test.values, data.test.targets.tolist(), strict=True):
        assert torch.equal(image, torch.tensor(COLORS[NAMES[label]], dtype=torch.uint8)[:, None, None].expand(3, 8, 8))
    scenes = compose("scenes", replace(data, validation=data.test), (3, 1, 1))
    assert scenes.input_shape == (3, 24, 24)


def test_boxes_without_area_are_counted_and_not_cut_out(tmp_path):
    """COCO's own training file has some."""
    content, images = written(tmp_path, "images", PHOTOS)
    content["annotations"][0]["bbox"] = [3.0, 3.0, 0.0, 5.0]
    content["annotations"][1]["bbox"] = [38.5, 28.0, 10.0, 10.0]
    path = saved(tmp_path, content)
    assert read_annotations(path, images).counts()[-1].tolist() == [1, 0, 2]
    whole = cut_outs("objects", (path, images), (path, images), NAMES, side=8)
    assert int((whole.test.targets == 0).sum()) == sum(p[0] == "person" for boxes in PHOTOS for p in boxes) - 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "not in COCO's format: it needs lists of images, categories and annotations"),
        (lambda c: c["images"][2].pop("file_name"), r"images\[2\] has file_name None; expected a text"),
        (lambda c: c["images"][0].update(width=0), r"images\[0\] is 0 x 30; allowed: 67,108,864 pixels"),
        (lambda c: c["images"][0].update(file_name="../x.png"), r"has file_name '../x.png'; allowed: names within"),
        (lambda c: c["images"][1].update(id=1000), r"images\[1\] has the id 1000, as one before it"),
        (lambda c: c["categories"][1].update(name="person"), "two categories have the same name"),
        (lambda c: c["annotations"][3].update(image_id=5), r"annotations\[3\] is of image 5, which is not in the file"),
        (lambda c: c["annotations"][3].update(category_id=5), r"annotations\[3\] is of category 5, which is not"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), r"annotations\[0\] has bbox \[1, 2, 3\]; expected \["),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, -3, 4]), r"bbox \[1, 2, -3, 4\]; allowed: sizes of 0 or"),
        (lambda c: c["annotations"].append(7), r"has image_id None; expected a whole number"),
    ],
)
def test_entries_that_are_wrong_are_named(tmp_path, change, message):
    content, images = written(tmp_path, "images", PHOTOS[:5])
    change(content)
    with pytest.raises(ValueError, match=message):
        read_annotations(saved(tmp_path, content), images)


def test_files_that_are_not_what_they_should_be_are_named(tmp_path, source, monkeypatch):
    path, images = source
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none.json; it is COCO's instances_train2017.json"):
        read_annotations(tmp_path / "none.json", images)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none with the images of instances.json"):
        read_annotations(path, tmp_path / "none")
    (tmp_path / "torn.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"torn.json is no JSON"):
        read_annotations(tmp_path / "torn.json", images)
    with pytest.raises(ValueError, match="category 'cat' is not in the annotations; there are dog, car, person"):
        cut_outs("objects", source, source, ("cat",))
    with pytest.raises(
        ValueError, match=r"images of 100000 x 100000 pixels; allowed: a side of 1 or more, up to 4 GiB"
    ):
        cut_outs("objects", source, source, NAMES, side=100_000)
    first = images / "000000001000.png"
    Image.new("RGB", (5, 5)).save(first)
    with pytest.raises(ValueError, match="is 5 x 5 pixels; the annotations say 40 x 30: are these the images"):
        cut_outs("objects", source, source, NAMES)
    first.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"000000001000.png is no image that can be read"):
        cut_outs("objects", source, source, NAMES)
    first.unlink()
    with pytest.raises(FileNotFoundError, match=r"000000001000.png, an image of the annotations, is not there"):
        cut_outs("objects", source, source, NAMES)
    monkeypatch.setattr("zoo.data.annotations.LARGEST_FILE", 10)
    with pytest.raises(ValueError, match=r"instances.json has [\d,]+ bytes; allowed: up to 10"):
        read_annotations(path, images)
