"""Ways between networks: their ends, what a permutation does to them, and barriers by hand."""

import numpy as np
import pytest
import torch

from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.latents.interpolation import (
    MOST_PAIRS,
    PLACES,
    accuracy_along,
    barriers,
    latent_way,
    pairs_of,
    weight_way,
)
from trainables.encoders.augmentation import permuted
from trainables.registry import find_trainable
from trainables.trainable import FitData, run
from zoo.architecture import mlp
from zoo.population import Member, single_architecture


@pytest.fixture(scope="module")
def population(small_zoo):
    return small_zoo.population("train", epochs="last")


@pytest.fixture(scope="module")
def data(small_zoo):
    dataset = small_zoo.dataset()
    return EvaluationData(dataset, dataset.test)


@pytest.fixture(scope="module")
def codec(small_zoo):
    family = find_trainable("neuron-autoencoder")
    fit_data = FitData(training=(small_zoo.population("train"),), validation=(), dataset=small_zoo.dataset())
    return run(family.fit(family.configuration({"latent": 8, "epochs": 1}), fit_data)).artifact()


def accuracy(population, data):
    return (Subject(population).predicted(data) == data.examples.targets).double().mean(1).numpy()


def test_pairs_are_of_one_architecture_and_no_member_is_in_two(population):
    pairs_R2 = pairs_of(population)
    assert 2 <= len(pairs_R2) <= MOST_PAIRS
    assert (population.architecture_M[pairs_R2[:, 0]] == population.architecture_M[pairs_R2[:, 1]]).all()
    assert len(pairs_R2.unique()) == pairs_R2.numel()
    assert pairs_of(population.select([0])).shape == (0, 2)


@pytest.mark.parametrize("matched", [True, False])
def test_ends_of_weights_are_the_members(population, data, matched):
    pairs_R2 = pairs_of(population)
    way = weight_way(population, pairs_R2, matched=matched)
    assert torch.equal(way(0.0), population.weights_MP[pairs_R2[:, 0]])
    if not matched:
        assert torch.equal(way(1.0), population.weights_MP[pairs_R2[:, 1]])
    along_RT = accuracy_along(way, population.select(pairs_R2[:, 0]), data)
    every_M = accuracy(population, data)
    for end, column in ((0, 0), (1, -1)):
        assert along_RT[:, column] == pytest.approx(every_M[pairs_R2[:, end].numpy()], abs=2.1 / len(data))
    first, last = (population.select(pairs_R2[:, end]) for end in (0, 1))
    torch.testing.assert_close(
        first.logits(data.examples.inputs, way(1.0)), last.logits(data.examples.inputs), rtol=1e-3, atol=1e-4
    )


def test_between_a_network_and_its_permutation_nothing_lies_once_they_are_matched(population, data):
    architecture, rows = next(iter(population.groups()))
    weights_1P = population.weights_MP[rows[-1:]]
    moved_1P = permuted(weights_1P, architecture, torch.Generator().manual_seed(0))
    pair = single_architecture(architecture, torch.cat([weights_1P, moved_1P]))
    pairs_R2 = torch.tensor([[0, 1]])
    first = pair.select([0])
    matched, straight = (
        accuracy_along(weight_way(pair, pairs_R2, matched=matched), first, data) for matched in (True, False)
    )
    assert np.ptp(matched) == 0
    assert barriers(matched).tolist() == [0]
    assert barriers(straight)[0] > 1


def test_ends_of_latents_are_the_reconstructions(population, codec, data):
    pairs_R2 = pairs_of(population)
    latent = codec.autoencoder.encode(population)
    way = latent_way(codec.receiver, latent, pairs_R2)
    for end, place in ((0, 0.0), (1, 1.0)):
        chosen = latent.select(pairs_R2[:, end].tolist())
        torch.testing.assert_close(way(place), codec.receiver.weights(chosen.values_MZ, chosen.gain_M))
    # Two equal networks have nothing but themselves between them.
    same = latent_way(codec.receiver, latent, pairs_R2[:, :1].expand(-1, 2))
    torch.testing.assert_close(same(0.5), same(0.0))
    assert accuracy_along(way, population.select(pairs_R2[:, 0]), data).shape == (len(pairs_R2), len(PLACES))


def test_members_of_class_tasks_are_judged_by_their_own_classes(small_zoo):
    dataset, architecture = small_zoo.dataset(), mlp((1, 8, 8), (4,), 2)
    members = [Member(id=i, seed=i, task=task) for i, task in enumerate(("3-8", "3-8", "0-1"))]
    weights_MP = torch.zeros(3, architecture.parameters)
    tensors = architecture.tensors(weights_MP)
    tensors["3.bias"][:, 0] = 1  # always the task's first class
    population = single_architecture(architecture, weights_MP, members)
    pairs_R2 = pairs_of(population)
    assert pairs_R2.tolist() == [[0, 1]]
    way = weight_way(population, pairs_R2, matched=False)
    along_RT = accuracy_along(way, population.select([0]), EvaluationData(dataset, dataset.test))
    labels = dataset.test.targets
    expected = float((labels == 3).sum() / ((labels == 3) | (labels == 8)).sum())
    assert along_RT[0].tolist() == pytest.approx([expected] * len(PLACES))


def test_a_barrier_is_the_deepest_fall_below_the_line_between_the_ends():
    straight = np.linspace(0.8, 0.6, len(PLACES))
    fallen = straight.copy()
    fallen[5] -= 0.25
    fallen[6] -= 0.1
    risen = straight + np.array([0, *[0.1] * (len(PLACES) - 2), 0])
    assert barriers(np.stack([straight, fallen, risen])) == pytest.approx([0, 25, 0], abs=1e-9)
