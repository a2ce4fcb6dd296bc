"""Task embeddings against slow and obvious references, and what they promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from trainables.tasks.config import ProbeConfig, Task2VecConfig
from trainables.tasks.embedding import drawn_examples, embed_tasks
from trainables.tasks.embeddings import TaskEmbeddings, joined
from trainables.tasks.fisher import DrawnLabels, HeadedTask, label_gradients, task_fisher
from trainables.tasks.heads import class_weights, fit_head
from trainables.tasks.probe import ProbeNetwork, TrainedProbe, torchvision_probe
from trainables.tasks.probe_training import train_probe
from trainables.tasks.variational import noisy_features, variational_fisher
from zoo.architecture import resnet
from zoo.data import Task, load_dataset
from zoo.data.class_tasks import one_vs_one, one_vs_rest
from zoo.data.examples import Examples, split_examples
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.population.population import single_architecture


def random_probe(shape=(2, 6, 6), channels=(4, 6), seed=0) -> ProbeNetwork:
    """A residual net with batch norms whose buffers are not those of the start."""
    architecture = resnet(shape, channels, 3)
    weights_P = initial_weights(architecture, [Member(id=0, seed=seed)])[0]
    generator = torch.Generator().manual_seed(seed)
    buffers = ~architecture.trainable
    weights_P[buffers] += torch.rand(int(buffers.sum()), generator=generator)
    return TrainedProbe("random", architecture, weights_P).network


class Grouped(nn.Module):
    """Convolutions with groups, stride and dilation, an activation in place, linear layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 8, 2, dilation=2, groups=4),
            nn.Flatten(),
            nn.Linear(8, 5),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.layers(x)


def headed(probe: ProbeNetwork, classes: int, examples: int = 6, seed: int = 0) -> HeadedTask:
    generator = torch.Generator().manual_seed(seed)
    drawn = Examples(
        torch.randn(examples + 2, *probe.input_shape, generator=generator), torch.zeros(examples + 2).long()
    )
    rows_N = torch.arange(examples) + 2
    width = probe.features(drawn).shape[1]
    shares_N = torch.rand(examples, generator=generator) + 0.1
    return HeadedTask(
        examples=drawn,
        rows_N=rows_N,
        labels_N=torch.arange(examples) % classes,
        shares_N=shares_N / shares_N.sum(),
        weight_CD=torch.randn(classes, width, generator=generator),
        bias_C=torch.randn(classes, generator=generator),
    )


def fisher_by_autograd(probe: ProbeNetwork, task: HeadedTask) -> torch.Tensor:
    """One example and one label at a time: the expected squared gradient of each weight, averaged over filters."""
    weights = [layer.weight.requires_grad_() for layer in probe.filters.values()]
    total = torch.zeros(sum(map(len, weights)))
    for example, share in zip(task.examples.select(task.rows_N).inputs, task.shares_N, strict=True):
        log_C = (probe.module(example[None])[0] @ task.weight_CD.T + task.bias_C).log_softmax(0)
        for log_p in log_C:
            gradients = torch.autograd.grad(log_p, weights, retain_graph=True)
            squares = torch.cat([gradient.flatten(1).square().mean(1) for gradient in gradients])
            total += share * log_p.detach().exp() * squares
    return total


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def digits_probe(digits) -> ProbeNetwork:
    return train_probe(digits, ProbeConfig(channels=(8, 16), epochs=4)).network


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("probe", [random_probe(), ProbeNetwork("grouped", Grouped(), (2, 6, 6))], ids=lambda p: p.name)
def test_fisher_is_that_of_autograd_example_by_example_and_label_by_label(probe, classes):
    tasks = [headed(probe, classes, seed=seed, examples=5 + seed) for seed in range(2)]
    found_TF = task_fisher(probe, tasks)
    for found_F, task in zip(found_TF, tasks, strict=True):
        torch.testing.assert_close(found_F, fisher_by_autograd(probe, task), rtol=1e-4, atol=1e-9)


def test_fisher_of_a_linear_softmax_is_the_closed_form():
    probe = ProbeNetwork("linear", nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (1, 2, 2))
    task = headed(probe, 4, examples=7)
    found_F = task_fisher(probe, [task])[0]
    # z = W h, h = V x: the Fisher information of V is E[W^T (diag p - p p^T) W ⊗ x x^T].
    drawn = task.examples.select(task.rows_N)
    p_NC = (torch.from_numpy(probe.features(drawn)) @ task.weight_CD.T + task.bias_C).softmax(1)
    expected_F = torch.zeros(3)
    for p_C, x, share in zip(p_NC, drawn.inputs.flatten(1), task.shares_N, strict=True):
        of_features = task.weight_CD.T @ (torch.diag(p_C) - torch.outer(p_C, p_C)) @ task.weight_CD
        expected_F += share * of_features.diagonal() * x.square().mean()
    torch.testing.assert_close(found_F, expected_F, rtol=1e-4, atol=1e-9)


def test_drawn_labels_give_the_exact_expectation_in_the_mean():
    probe = random_probe()
    task = headed(probe, 3)
    exact_F = task_fisher(probe, [task])[0]
    drawn_F = task_fisher(probe, [task], DrawnLabels(400, torch.Generator().manual_seed(0)))[0]
    live_F = exact_F > 0  # a filter whose every output is cut off by the activation tells nothing
    assert float((drawn_F / exact_F - 1)[live_F].abs().max()) < 0.2
    one_F = task_fisher(probe, [task], DrawnLabels(1, torch.Generator().manual_seed(0)))[0]
    assert float((one_F / exact_F - 1)[live_F].abs().max()) > 0.2


def test_two_classes_need_one_gradient_of_the_same_information():
    generator = torch.Generator().manual_seed(0)
    features_BD, weight_BCD = torch.randn(3, 5, generator=generator), torch.randn(3, 2, 5, generator=generator)
    bias_BC = torch.randn(3, 2, generator=generator)
    one = label_gradients(features_BD, weight_BCD, bias_BC)
    never = torch.cat([bias_BC, torch.full((3, 1), -torch.inf)], dim=1)
    three = label_gradients(features_BD, torch.cat([weight_BCD, weight_BCD[:, :1]], dim=1), never)
    assert (one.shape[1], three.shape[1]) == (1, 3)
    torch.testing.assert_close(
        torch.einsum("bkd,bke->bde", one, one), torch.einsum("bkd,bke->bde", three, three), rtol=1e-4, atol=1e-6
    )


def test_a_class_that_is_split_in_two_without_a_difference_changes_nothing():
    """The embedding does not see how many labels there are: it has the information of the features alone."""
    probe = random_probe()
    task = headed(probe, 3)
    halves = replace(
        task,
        weight_CD=torch.cat([task.weight_CD, task.weight_CD[2:]]),
        bias_C=torch.cat([task.bias_C[:2], (task.bias_C[2:] - np.log(2)).repeat(2)]),
    )
    torch.testing.assert_close(task_fisher(probe, [halves]), task_fisher(probe, [task]), rtol=1e-4, atol=1e-9)


def test_tasks_are_embedded_together_as_they_are_alone():
    probe = random_probe()
    tasks = [headed(probe, 2, seed=seed, examples=30 + seed) for seed in range(5)]
    alone = torch.cat([task_fisher(probe, [task]) for task in tasks])
    torch.testing.assert_close(task_fisher(probe, tasks), alone, rtol=1e-4, atol=1e-9)


def test_noise_on_outputs_is_that_of_noisy_weights():
    probe = ProbeNetwork("grouped", Grouped().layers[0], (2, 6, 6))
    layer = next(iter(probe.filters.values()))
    x = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    deviation_F = torch.tensor([0.1, 0.2, 0.3, 0.0])
    generator = torch.Generator().manual_seed(1)
    many = noisy_features(probe, x.expand(4000, -1, -1, -1), deviation_F.expand(4000, -1), generator)
    weights = layer.weight + deviation_F[:, None, None, None] * torch.randn(4000, *layer.weight.shape)
    same = torch.cat([nn.functional.conv2d(x, w, layer.bias, 2, 1, groups=2) for w in weights])
    torch.testing.assert_close(many.mean(0), same.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(many.std(0), same.std(0), atol=0.03, rtol=0.1)
    assert float(many[:, 3].std(0).max()) < 1e-6


def test_the_variational_estimate_orders_filters_as_the_exact_one_does(digits, digits_probe):
    tasks = [(digits, task) for task in ("0-1", "3-8")]
    config = Task2VecConfig(estimate="variational", examples=100, steps=80)
    exact = embed_tasks(digits_probe, tasks, replace(config, estimate="exact"))
    found = embed_tasks(digits_probe, tasks, config)
    for found_F, exact_F in zip(found.values_TE, exact.values_TE, strict=True):
        assert spearmanr(found_F, exact_F).statistic > 0.7
        assert abs(np.log(np.median(found_F / exact_F))) < np.log(3)


def test_where_there_is_nothing_to_tell_the_variational_estimate_is_the_prior():
    probe = random_probe(channels=(2,))
    task = headed(probe, 2)
    dull = replace(task, weight_CD=torch.zeros_like(task.weight_CD))
    config = Task2VecConfig(estimate="variational", steps=150, step_size=0.1, step_examples=2)
    found_TF = variational_fisher(probe, [dull], config, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found_TF[0], config.prior / probe.filter_scales, rtol=0.02, atol=0)


def test_heads_weigh_classes_alike_and_find_a_line_that_parts_them():
    generator = np.random.default_rng(0)
    labels_N = np.repeat([0, 1], [190, 10])
    features_ND = generator.normal(size=(200, 3)) + 6 * labels_N[:, None] * np.array([1.0, 0, 0])
    assert class_weights(labels_N).sum() == pytest.approx(1)
    assert class_weights(labels_N)[labels_N == 1].sum() == pytest.approx(0.5)
    head = fit_head(features_ND, labels_N, 2, 1e-3)
    assert head.error(features_ND, labels_N) < 0.02
    assert head.error(features_ND, 1 - labels_N) > 0.98


def test_a_feature_that_never_changes_gets_no_weight():
    features_ND = np.array([[1.0, 5.0], [2.0, 5.0], [8.0, 5.0], [9.0, 5.0]])
    head = fit_head(features_ND, np.array([0, 0, 1, 1]), 2, 1e-3)
    assert np.isfinite(head.weight_CD).all()
    assert (head.weight_CD[:, 1] == 0).all()


def test_embeddings_of_digits_keep_their_promises(digits, digits_probe):
    tasks = [(digits, task) for task in (*one_vs_one(4), *one_vs_rest(3), "0-1-2", "")]
    config = Task2VecConfig(examples=60)
    found = embed_tasks(digits_probe, tasks, config)
    assert found.names[0] == "digits:0-1"
    assert found.names[-1] == "digits"
    assert [task.classes for task in found.tasks] == [2] * 9 + [3, 10]
    assert found.values_TE.shape == (11, sum(digits_probe.counts.values()))
    assert (found.values_TE >= found.prior_E).all()
    assert all(0 <= task.validation_error <= 0.5 for task in found.tasks)
    assert (found.norms > 0).all()
    # A task with its labels swapped is the same task, whatever else is embedded.
    swapped = embed_tasks(digits_probe, [(digits, "1-0")], config)
    np.testing.assert_allclose(swapped.values_TE[0], found.values_TE[0], rtol=0.02)
    again = embed_tasks(digits_probe, tasks[2:5], config)
    np.testing.assert_allclose(again.values_TE, found.values_TE[2:5], rtol=1e-4)


def test_embeddings_come_back_as_they_were_stored(digits, digits_probe):
    found = embed_tasks(digits_probe, [(digits, "0-1"), (digits, "2-rest")], Task2VecConfig(examples=40))
    back = TaskEmbeddings.from_files(found.to_files())
    assert back.tasks == found.tasks
    assert (back.config, back.probe, dict(back.layers)) == (found.config, found.probe, dict(found.layers))
    assert np.array_equal(back.values_TE, found.values_TE)
    assert np.array_equal(back.prior_E, found.prior_E)
    features = digits_probe.features(digits.test)
    for one, other in zip(back.heads, found.heads, strict=True):
        assert np.array_equal(one.outputs(features), other.outputs(features))
    assert joined([back.select([1]), back.select([0])]).names == ("digits:2-rest", "digits:0-1")
    with pytest.raises(ValueError, match="made in different ways, cannot be compared"):
        joined([found, replace(found, config=Task2VecConfig(seed=1))])


def test_members_get_the_coordinates_of_their_tasks(digits, digits_probe):
    tasks = ["0-1", "2-rest", "3-4"]
    found = embed_tasks(digits_probe, [(digits, task) for task in tasks], Task2VecConfig(examples=40))
    architecture = resnet((1, 8, 8), (2,), 2)
    members = [Member(id=i, seed=i, task=tasks[i % 3]) for i in range(7)]
    population = single_architecture(architecture, initial_weights(architecture, members), members)
    with_tasks = found.join(population, "digits", 2)
    values_MK = np.stack([with_tasks.column("task2vec_0"), with_tasks.column("task2vec_1")], axis=1)
    np.testing.assert_array_equal(values_MK, found.coordinates(2)[[0, 1, 2, 0, 1, 2, 0]])
    np.testing.assert_allclose(found.coordinates(2).std(0), 1, rtol=1e-4)
    with pytest.raises(ValueError, match="tasks mnist:0-1, mnist:2-rest, mnist:3-4 of the members are not embedded"):
        found.join(population, "mnist", 2)
    with pytest.raises(ValueError, match="count is 3; allowed: 1 to 2 for 3 tasks"):
        found.coordinates(3)


def test_images_are_made_to_fit_the_probe(digits):
    probe = random_probe((3, 6, 6))
    gray = probe.inputs(digits.test.first(4))
    assert gray.shape == (4, 3, 6, 6)
    assert torch.equal(gray[:, 0], gray[:, 2])
    colored = split_examples(
        "colored", np.full((9, 3, 5, 5), 7, np.uint8), np.zeros(9, int), task=Task("softmax", 1), validation=2, test=2
    )
    assert random_probe((1, 6, 6)).inputs(colored.test).unique().tolist() == pytest.approx([7.0])


def test_torchvision_networks_are_probes(digits):
    torch.manual_seed(0)
    probe = torchvision_probe("resnet18", weights=None, size=32)
    assert probe.features(digits.test.first(2)).shape == (2, 512)
    assert len(probe.filters) == 20
    task = headed(probe, 2, examples=1)
    torch.testing.assert_close(task_fisher(probe, [task])[0], fisher_by_autograd(probe, task), rtol=1e-3, atol=1e-9)
    with pytest.raises(ValueError, match="torchvision has no network 'resnet3'"):
        torchvision_probe("resnet3", weights=None)


def test_an_example_of_each_class_is_drawn_for_each_other(digits):
    rows, labels_N = drawn_examples(digits, "3-rest", digits.train, Task2VecConfig(examples=100))
    assert np.bincount(labels_N).tolist() == [50, 50]
    assert len(set(rows.tolist())) == 100
    assert (digits.train.targets[rows][:50] == 3).all()
    assert (digits.train.targets[rows][50:] != 3).all()


@pytest.mark.parametrize(
    ("tasks", "config", "message"),
    [
        ([], {}, "there are no tasks to embed"),
        (["0-1", "0-1"], {}, "task digits:0-1 is named twice"),
        (["0-11"], {}, "task '0-11' of data set 'digits': there are no images of its class 1"),
        ([""], {"examples": 9}, "examples is 9; allowed: 10 or more, one of each class"),
    ],
)
def test_tasks_that_cannot_be_embedded_are_refused(digits, digits_probe, tasks, config, message):
    with pytest.raises(ValueError, match=message):
        embed_tasks(digits_probe, [(digits, task) for task in tasks], Task2VecConfig(**{"examples": 20, **config}))


@pytest.mark.parametrize(
    ("cls", "fields", "message"),
    [
        (Task2VecConfig, {"estimate": "fast"}, "estimate is 'fast'; allowed: exact, monte-carlo, variational"),
        (Task2VecConfig, {"prior": 0.0}, "prior is 0.0; allowed: more than 0"),
        (ProbeConfig, {"channels": ()}, "channels is \\(\\); allowed: one whole number or more"),
        (ProbeConfig, {"batch_size": 1}, "batch_size is 1; allowed: a whole number, 2 or more"),
    ],
)
def test_settings_out_of_range_are_refused(cls, fields, message):
    with pytest.raises(ValueError, match=message):
        cls(**fields)
