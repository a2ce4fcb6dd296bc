"""Decision boundaries: linear classifiers, whose distances are known, and a loop over modules."""

import math

import pytest
import torch

from analysis.evaluators import boundaries
from analysis.evaluators.boundaries import (
    BOUNDARIES,
    BOUNDARY_DISTANCE,
    boundary_distances,
    crossings,
    nearest_directions,
    random_directions,
    ray_length,
)
from analysis.evaluators.evaluator import EvaluationData, Subject
from analysis.measuring.evaluation import Evaluation
from zoo.architecture import cnn, mlp
from zoo.data import Dataset, Examples, Task
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture

MEMBERS, COUNT, CLASSES, WIDTH = 4, 40, 5, 6


@pytest.fixture(scope="module")
def networks(small_zoo):
    return next(iter(small_zoo.populations("train", epochs="last"))).select(range(5))


@pytest.fixture(scope="module")
def digits(small_zoo):
    return EvaluationData(small_zoo.dataset(), small_zoo.dataset().test)


@pytest.fixture(scope="module")
def linear():
    """Linear classifiers of vectors: their population, rows ``[M, C, D]``, offsets ``[M, C]``."""
    generator = torch.Generator().manual_seed(0)
    architecture = mlp((WIDTH,), (), CLASSES)
    weights_MP = torch.randn(MEMBERS, architecture.parameters, generator=generator)
    tensors = {tensor.ndim: tensor for tensor in architecture.tensors(weights_MP).values()}
    return single_architecture(architecture, weights_MP), tensors[3], tensors[2]


@pytest.fixture(scope="module")
def vectors():
    generator = torch.Generator().manual_seed(1)
    examples = Examples(torch.randn(COUNT, WIDTH, generator=generator), torch.arange(COUNT) % CLASSES)
    return EvaluationData(Dataset("vectors", Task("softmax", CLASSES), examples, examples, examples), examples)


def margins(linear, x):
    """Of every rival of the predicted class how far it is behind, and the difference of its rows: by hand."""
    _, rows_MCD, offset_MC = linear
    logits_MNC = torch.einsum("mcd,nd->mnc", rows_MCD, x) + offset_MC[:, None]
    own_MN = logits_MNC.argmax(2)
    behind_MNC = logits_MNC.amax(2, keepdim=True) - logits_MNC
    difference_MNCD = rows_MCD[:, None] - rows_MCD[torch.arange(MEMBERS)[:, None], own_MN][:, :, None]
    return behind_MNC, difference_MNCD, own_MN


def test_the_nearest_boundary_of_a_linear_classifier_is_a_hyperplane_s(linear, vectors):
    """min over rivals of (z_own - z_rival) / |w_own - w_rival|."""
    x = vectors.examples.first(boundaries.EXAMPLES).inputs
    behind_MNC, difference_MNCD, own_MN = margins(linear, x)
    distance_MNC = behind_MNC / difference_MNCD.norm(dim=3)
    distance_MNC.scatter_(2, own_MN[..., None], math.inf)
    found = boundary_distances(Subject(linear[0]), vectors).adversarial[..., 0]
    torch.testing.assert_close(found, distance_MNC.amin(2), rtol=2e-3, atol=1e-4)


def test_along_a_ray_the_boundary_of_a_linear_classifier_is_the_first_rival_to_catch_up(linear, vectors):
    x = vectors.examples.first(boundaries.EXAMPLES).inputs
    directions_NRD, length = random_directions(x), ray_length(vectors.examples.inputs)
    behind_MNC, difference_MNCD, _ = margins(linear, x)
    speed_MNRC = torch.einsum("mncd,nrd->mnrc", difference_MNCD, directions_NRD)
    caught_MNRC = torch.where(speed_MNRC > 0, behind_MNC[:, :, None] / speed_MNRC, math.inf)
    caught_MNRC = torch.where((behind_MNC > 0)[:, :, None], caught_MNRC, math.inf)
    found = boundary_distances(Subject(linear[0]), vectors).random
    torch.testing.assert_close(found, caught_MNRC.amin(3).clamp_max(length), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_is_that_of_a_loop_over_modules(kind, networks, digits):
    """A fine search along each ray, one network at a time; what it finds first is never farther."""
    if kind == "cnn":
        architecture = cnn((1, 8, 8), (4,), 10)
        generator = torch.Generator().manual_seed(2)
        weights_MP = 0.4 * torch.randn(3, architecture.parameters, generator=generator)
        networks = single_architecture(architecture, weights_MP)
    x, length = digits.examples.first(6).inputs, 5.0
    directions_NRD = random_directions(x)
    fine_G = torch.linspace(0, length, 4001)[1:]
    near = total = 0
    for architecture, rows in networks.groups():
        found = crossings(architecture, networks.weights_MP[rows], x, directions_NRD[None], length)
        for place, row in enumerate(rows.tolist()):
            module = architecture.to_module(networks.weights_MP[row])
            for example, start in enumerate(x):
                for ray, direction in enumerate(directions_NRD[example]):
                    points = start + fine_G.reshape(-1, 1, 1, 1) * direction
                    with torch.no_grad():
                        changed = module(points).argmax(1) != module(start[None]).argmax(1)
                    first = float(fine_G[changed][0]) if changed.any() else length
                    one = float(found[place, example, ray])
                    assert one >= first - 2e-3
                    near, total = near + (abs(one - first) < 3e-3), total + 1
    assert near / total > 0.9  # elsewhere the grid passed over a thin slab


def test_deepfool_s_direction_leads_to_a_boundary_and_others_are_longer(networks, digits):
    x, length = digits.examples.first(boundaries.EXAMPLES).inputs, ray_length(digits.examples.inputs)
    found = boundary_distances(Subject(networks), digits)
    for architecture, rows in networks.groups():
        directions = nearest_directions(architecture, networks.weights_MP[rows], x)
        lengths = directions.flatten(2).norm(dim=2)
        assert ((lengths - 1).abs() < 1e-4).logical_or(lengths == 0).all()
        nearest = crossings(architecture, networks.weights_MP[rows], x, directions.unsqueeze(2), length)
        assert float((nearest < length).double().mean()) > 0.95
        shortest = found.random[rows].amin(2, keepdim=True)
        assert float((nearest < 0.5 * shortest).double().mean()) > 0.95
        assert torch.equal(found.adversarial[rows], torch.minimum(nearest, shortest))


def test_without_a_gradient_the_nearest_boundary_is_that_of_a_random_ray(vectors):
    """A unit that is off at every example: its boundary is met on the way, but nothing tells where it is."""
    architecture = mlp((WIDTH,), (1,), 2)
    tensors = {
        name: torch.zeros(1, *tensor.shape[1:])
        for name, tensor in architecture.tensors(torch.zeros(1, architecture.parameters)).items()
    }
    hidden, offset, rows, outputs = tensors.values()
    hidden[0, 0, 0], offset[0, 0] = 1, -5  # relu(x_0 - 5)
    rows[0, 1, 0], outputs[0, 0] = 1, 1  # the second class where that is above 1
    subject = Subject(single_architecture(architecture, architecture.flatten(tensors)))
    x = vectors.examples.first(boundaries.EXAMPLES).inputs
    directions_NR, length = random_directions(x)[..., 0], ray_length(vectors.examples.inputs)
    exact_NR = torch.where(directions_NR > 0, (6 - x[:, :1]) / directions_NR, math.inf).clamp_max(length)
    found = boundary_distances(subject, vectors)
    assert not nearest_directions(architecture, subject.population.weights_MP, x).any()
    torch.testing.assert_close(found.random[0], exact_NR, rtol=1e-3, atol=1e-3)
    assert torch.equal(found.adversarial[0, :, 0], found.random[0].amin(1))
    assert (found.random < length).any()


def test_a_network_that_always_answers_the_same_has_no_boundary(vectors):
    architecture = mlp((WIDTH,), (3,), CLASSES)
    subject = Subject(single_architecture(architecture, torch.zeros(2, architecture.parameters)))
    values = BOUNDARY_DISTANCE.run(subject, None, vectors)
    length = ray_length(vectors.examples.inputs)
    torch.testing.assert_close(values["boundary_random"], torch.full((2,), length).double())
    torch.testing.assert_close(values["boundary_adversarial"], torch.full((2,), length).double())
    assert values["boundary_met"].tolist() == [0, 0]


def test_members_in_blocks_are_members_together(networks, digits, monkeypatch):
    together = boundary_distances(Subject(networks), digits)
    monkeypatch.setattr(boundaries, "AT_ONCE", 1)
    for one, other in zip(together, boundary_distances(Subject(networks), digits), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_twice_the_logits_change_nothing_and_noise_moves_boundaries(linear, vectors):
    population, original = linear[0], Subject(linear[0])
    same = BOUNDARIES.run(Subject(population.with_weights(2 * population.weights_MP)), original, vectors)
    assert float(same["boundary_random_moved"].max()) < 1e-3
    noise_MP = torch.randn(population.weights_MP.shape, generator=torch.Generator().manual_seed(3))
    little, much = (
        BOUNDARIES.run(Subject(population.with_weights(population.weights_MP + size * noise_MP)), original, vectors)
        for size in (0.01, 0.3)
    )
    for name in ("boundary_random_moved", "boundary_adversarial_moved"):
        assert (little[name] > 0).all()
        assert (little[name] < much[name]).all()


def test_only_examples_of_a_member_s_task_count(digits):
    members = [Member(id=row, seed=row, task=task) for row, task in enumerate(("3-8", "8-3", "0-1"))]
    architecture = mlp((1, 8, 8), (5,), 2)
    subject = Subject(single_architecture(architecture, initial_weights(architecture, members), members))
    one, targets = boundary_distances(subject, digits), digits.examples.targets[: boundaries.EXAMPLES]
    values = BOUNDARY_DISTANCE.run(subject, None, digits)
    for row, labels in enumerate(((3, 8), (3, 8), (0, 1))):
        its = (targets == labels[0]) | (targets == labels[1])
        assert its.any()
        expected = one.adversarial[row, its, 0].double().mean()
        torch.testing.assert_close(values["boundary_adversarial"][row], expected)


def test_a_regression_has_no_boundaries():
    examples = Examples(torch.randn(30, 3), torch.randn(30, 2))
    dataset = Dataset("values", Task("squared", 2), examples, examples, examples)
    evaluation = Evaluation.of([BOUNDARIES, BOUNDARY_DISTANCE], dataset, inputs=())
    assert evaluation.left_out == dict.fromkeys(
        ("boundaries", "boundary-distance"), "is about classes, and the data set has none"
    )


def test_networks_without_finite_outputs_are_refused(linear, vectors):
    weights_MP = linear[0].weights_MP.clone()
    weights_MP[1] = math.nan
    subject = Subject(linear[0].with_weights(weights_MP), "codec 'x'")
    with pytest.raises(ValueError, match="1 network of codec 'x' has outputs that are not finite; leave it out"):
        BOUNDARY_DISTANCE.run(subject, None, vectors)
