"""Images that are moved and mirrored while a generator is fitted, and weight decay: what both change, and what not."""

import dataclasses

import pytest
import torch

from trainables.hypernetworks.adaptation import AdaptedVector, VectorPrior, adapt
from trainables.hypernetworks.config import HypernetworkConfig
from trainables.hypernetworks.hypernetwork import HypernetworkFit
from trainables.tasks.task_examples import TaskExamples, moved
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.data import load_dataset
from zoo.population import Member
from zoo.population.population import single_architecture

TASKS = ["0-1", "2-7", "5-8"]
SHORT = HypernetworkConfig(z=4, steps=20, epochs=2, task_batch=2, examples=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def data():
    architecture = mlp((1, 8, 8), (8,), 2)
    specs = [Member(id=i, seed=i, task=task) for i, task in enumerate(TASKS)]
    population = single_architecture(architecture, torch.zeros(3, architecture.parameters), specs)
    return FitData(training=(population,), validation=(population.select([]),), dataset=load_dataset("digits"))


def test_images_are_moved_by_at_most_so_many_pixels_and_mirrored_half_of_the_time():
    image = torch.arange(3 * 6 * 6.0).reshape(1, 3, 6, 6)
    generator, inside = torch.Generator().manual_seed(0), image[0, 0, 2:4, 2:4]
    places = set()
    for _ in range(200):
        found = moved(image, 1, generator)
        assert found.shape == image.shape
        # What lies two pixels inside stays in the image, at one of nine places in one of two orientations.
        for mirrored in (False, True):
            wanted = inside.flip(1) if mirrored else inside
            for down in range(5):
                for right in range(5):
                    if torch.equal(found[0, 0, down : down + 2, right : right + 2], wanted):
                        places.add((mirrored, down - 2, right - 2))
    assert places == {
        (mirrored, down, right) for mirrored in (False, True) for down in (-1, 0, 1) for right in (-1, 0, 1)
    }


def test_drawn_images_of_a_task_are_moved_alike_and_labels_stay(data):
    train = data.dataset.train
    plain = TaskExamples(TASKS, train)
    shifted = plain.shifted(2)
    assert plain.shift == 0, "a copy is moved"
    inputs, labels_TB = plain.drawn([1], 5, torch.Generator().manual_seed(3))
    moved_inputs, moved_labels_TB = shifted.drawn([1], 5, torch.Generator().manual_seed(3))
    assert torch.equal(labels_TB, moved_labels_TB)
    generator = torch.Generator().manual_seed(3)
    torch.randint(len(plain.rows[1]), (5,), generator=generator)
    assert torch.equal(moved_inputs[0], moved(inputs[0], 2, generator))
    assert not torch.equal(moved_inputs, inputs)


def test_fits_differ_by_shift_and_by_weight_decay_which_makes_weights_smaller(data):
    plain, shifted, decayed = (
        run(HypernetworkFit(dataclasses.replace(SHORT, **changes), data)).artifact()
        for changes in ({}, {"shift": 1}, {"weight_decay": 30.0})
    )
    weights = [made.make(made.trained_vectors).weights_MP.norm() for made in (plain, shifted, decayed)]
    assert weights[0] != weights[1]
    assert weights[2] < 0.7 * weights[0]


@pytest.mark.parametrize("shift", [0, 2])
def test_z_is_fitted_to_images_that_are_moved_as_those_of_the_fit_were(data, shift):
    """Whoever asks gives examples as they are, and cannot forget it."""
    made = run(HypernetworkFit(dataclasses.replace(SHORT, shift=shift, adapt_steps=8), data)).artifact()
    examples = TaskExamples(["3-8", "1-4"], data.dataset.train)
    by_hand = AdaptedVector(made.module.generator, made.start(examples), VectorPrior.of(made.trained_vectors, 0.0))
    settings = {"steps": 8, "learning_rate": SHORT.adapt_learning_rate, "batch": SHORT.examples}
    adapt(by_hand, made.architecture, made.task, examples.shifted(shift), **settings)
    found_TZ = made.vectors(examples)
    assert torch.equal(found_TZ, by_hand.numbers[0])
    made.module.config = dataclasses.replace(made.module.config, shift=2 - shift)
    assert not torch.equal(found_TZ, made.vectors(examples))


@pytest.mark.parametrize("field", ["shift", "weight_decay"])
def test_less_than_none_is_refused(field):
    with pytest.raises(ValueError, match=rf"HypernetworkConfig.{field} is -1; allowed: 0 or more"):
        dataclasses.replace(SHORT, **{field: -1})


def test_what_is_no_image_cannot_be_moved():
    with pytest.raises(ValueError, match=r"shift is 2, but examples have shape \(64,\); allowed: 0 but for images"):
        moved(torch.zeros(5, 64), 2, torch.Generator())
