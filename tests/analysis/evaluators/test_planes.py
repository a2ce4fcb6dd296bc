"""Planes through inputs, and the gallery of images on which networks change: by hand, and what cannot be had."""

import base64
import json

import numpy as np
import pytest
import torch

from analysis.evaluators.boundaries import BOUNDARIES, BOUNDARY_DISTANCE
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.evaluators.flips import flips
from analysis.evaluators.planes import SIDE, packed, planes, planes_of, unpacked
from zoo.architecture import mlp
from zoo.data import Dataset, Examples, Task, load_dataset
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture


def vectors(width, count=40, classes=3):
    values = torch.randn(count, width, generator=torch.Generator().manual_seed(0))
    examples = Examples(values, torch.arange(count) % classes)
    return EvaluationData(Dataset("vectors", Task("softmax", classes), examples, examples, examples), examples)


def networks(architecture, count=5, tasks=("",)):
    members = [Member(id=i, seed=i, init_scale=2.0, task=tasks[i % len(tasks)]) for i in range(count)]
    return single_architecture(architecture, initial_weights(architecture, members), members)


@pytest.fixture(scope="module")
def digits():
    dataset = load_dataset("digits")
    return EvaluationData(dataset, dataset.test)


@pytest.fixture(scope="module")
def pair():
    population = networks(mlp((1, 8, 8), (8,), 10))
    noise_MP = torch.randn(population.weights_MP.shape, generator=torch.Generator().manual_seed(1))
    sizes_M1 = torch.tensor([0.0, 0.4, 0.02, 0.05, 0.1])[:, None]
    return Subject(population), Subject(population.with_weights(population.weights_MP + sizes_M1 * noise_MP))


def test_three_examples_of_three_classes_lie_in_their_plane(digits):
    plane, _ = planes_of(digits)
    assert len({label for *_, label in plane.marks}) == 3
    torch.testing.assert_close(plane.axes_2D @ plane.axes_2D.T, torch.eye(2), atol=1e-5, rtol=0)
    inputs_ND = digits.examples.inputs.flatten(1)
    (left, right), (low, high) = plane.extent
    assert right - left == pytest.approx(high - low)
    for x, y, label in plane.marks:
        assert left < x < right
        assert low < y < high
        point_D = plane.origin_D + x * plane.axes_2D[0] + y * plane.axes_2D[1]
        distance_N = (inputs_ND - point_D).norm(dim=1)
        assert float(distance_N.min()) < 1e-4
        assert int(digits.examples.targets[distance_N.argmin()]) == label


def test_components_are_those_of_the_covariance(digits):
    plane = planes_of(digits)[1]
    covariance = np.cov(digits.examples.inputs.flatten(1).numpy().astype(np.float64).T, bias=True)
    values, vectors_ = np.linalg.eigh(covariance)
    for number in (1, 2):
        assert abs(float(plane.axes_2D[number - 1].numpy() @ vectors_[:, -number])) == pytest.approx(1, abs=1e-4)
        assert plane.extent[number - 1][1] == pytest.approx(3 * np.sqrt(values[-number]), rel=1e-3)


def test_views_are_what_modules_answer_on_the_points(pair, digits):
    original, subject = pair
    found = planes(subject, original, digits)
    drawn = planes_of(digits)
    for view in found["views"]:
        population = (original if view["subject"] == "original" else subject).population
        module = population.architecture.to_module(population.weights_MP[view["row"]])
        points = drawn[view["plane"]].points().reshape(-1, 1, 8, 8)
        with torch.no_grad():
            probability, predicted = module(points).softmax(1).max(1)
        assert np.array_equal(unpacked(view["classes"]).ravel(), predicted.numpy())
        assert np.abs(unpacked(view["confidence"]).ravel() / 255 - probability.numpy()).max() < 0.003
    first, second, *_ = drawn[0].points()  # along a row goes the first axis
    assert (second - first) @ drawn[0].axes_2D[0] > 0


def test_the_worst_and_the_typical_network_are_drawn(pair, digits):
    original, subject = pair
    changed_M = (original.predicted(digits) != subject.predicted(digits)).double().mean(1)
    rows = {view["why"]: view["row"] for view in planes(subject, original, digits)["views"]}
    assert rows["worst"] == int(changed_M.argmax()) == 1
    assert float(changed_M[rows["typical"]]) == float(changed_M.median())
    alone = planes(subject, None, digits)["views"]
    assert {(view["row"], view["subject"]) for view in alone} == {(0, "network"), (2, "network")}


def test_what_is_packed_comes_back():
    values = torch.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 256
    assert np.array_equal(unpacked(packed(values)), values.numpy())


def test_the_gallery_is_counted_by_hand(pair, digits):
    original, subject = pair
    found = flips(subject, original, digits)
    before_MN, after_MN = original.predicted(digits).numpy(), subject.predicted(digits).numpy()
    changed_N = (before_MN != after_MN).mean(0)
    assert found["untouched"] == (changed_N == 0).mean()
    shares = [image["changed"] for image in found["images"]]
    assert shares == sorted(changed_N, reverse=True)[: len(shares)]
    for image in found["images"]:
        row = image["example"]
        assert base64.b64decode(image["pixels"]) == digits.examples.values[row].numpy().tobytes()
        assert image["label"] == digits.examples.targets[row]
        label, share = image["after"][0]
        assert share == (after_MN[:, row] == label).mean() == max(np.bincount(after_MN[:, row])) / 5
    assert flips(original, original, digits)["images"] == []


@pytest.mark.parametrize("evaluator", [BOUNDARIES, BOUNDARY_DISTANCE])
def test_details_are_json(pair, digits, evaluator):
    original, subject = pair
    found = evaluator.details(subject, original if evaluator is BOUNDARIES else None, digits)
    assert json.loads(json.dumps(found)) == found
    assert ("flips" in found) == (evaluator is BOUNDARIES)


def test_numbers_have_planes_but_no_gallery():
    data, population = vectors(4), networks(mlp((4,), (5,), 3))
    subject = Subject(population)
    assert len(planes(subject, subject, data)["planes"]) == 2
    assert flips(subject, subject, data)["absent"] == "inputs of shape (4,) are no images of one or three colors"


def test_a_single_number_has_no_plane():
    data, subject = vectors(1), Subject(networks(mlp((1,), (5,), 3)))
    assert planes(subject, subject, data) == {
        "absent": "inputs of shape (1,) have no two dimensions in which examples differ"
    }


def test_examples_in_a_line_span_no_plane():
    values = torch.linspace(0, 1, 12)[:, None] * torch.tensor([1.0, 2.0])
    examples = Examples(values, torch.arange(12) % 3)
    data = EvaluationData(Dataset("line", Task("softmax", 3), examples, examples, examples), examples)
    assert planes_of(data) == []


def test_of_two_classes_any_third_example_will_do():
    plane = planes_of(vectors(4, classes=2))[0]
    assert sorted(label for *_, label in plane.marks) in ([0, 0, 1], [0, 1, 1])


def test_networks_with_tasks_of_their_own_have_no_gallery(digits):
    subject = Subject(networks(mlp((1, 8, 8), (6,), 2), tasks=("3-8", "0-1")))
    said = flips(subject, subject, digits)["absent"]
    assert said == "networks have class tasks of their own, in which answers mean different classes"
