import pytest
import torch
from architectures import CONVOLUTIONAL, random_examples, random_permutations, random_weights

from trainables.autoencoders.input_metric import InputBasis, InputMetric
from zoo.architecture import Activate, Architecture, Conv, Flatten, Linear, mlp
from zoo.data import load_dataset
from zoo.data.examples import Examples
from zoo.population import Member, Population, single_architecture
from zoo.recipes import DIGITS_MLP_DIVERSE
from zoo.training.train import train_population
from zoo.views import Flat, NeuronTokens, Standardized, permute, without_dead_inputs, zero_dead_inputs
from zoo.views.metric import Root, class_rotation
from zoo.views.moments import input_moments
from zoo.views.tokens import from_neuron_rows, neuron_rows

VIEWS = {"flat": Flat, "tokens": NeuronTokens, "standardized": Standardized}
SHAPES = [((), True), ((6,), True), ((6,), False), ((7, 5), True), ((7, 5, 4), False)]


@pytest.fixture(scope="module", name="data")
def digits():
    return load_dataset("digits")


def trained(data, hidden=(6,), bias=True, activation="relu", members=12) -> Population:
    architecture = mlp(data.input_shape, hidden, data.classes, activation=activation, bias=bias)
    specs = [Member(id=i, seed=i, init_scale=0.5 + i / 8, weight_decay=1e-3 * (i % 2)) for i in range(members)]
    snapshots = train_population(
        architecture, specs, data.train, epochs=2, snapshot_epochs=(0, 2), backend="closed-form"
    )
    parts = [(snapshot.weights_MP, snapshot.rows) for snapshot in snapshots]
    rows = [row for _, chosen in parts for row in chosen]
    return single_architecture(architecture, torch.cat([w for w, _ in parts]), [specs[row] for row in rows])


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(("hidden", "bias"), SHAPES)
def test_round_trip_is_exact_bit_for_bit(data, name, hidden, bias):
    population = trained(data, hidden, bias)
    weights_MP = population.weights_MP.clone()  # epoch 0 has biases of exactly zero
    weights_MP[3, ::2] = 0
    weights_MP[4] = 0
    view = VIEWS[name].fit(population, data.train)
    coordinates = view.forward(weights_MP)
    assert coordinates.dtype == torch.float64
    assert not torch.equal(coordinates[2].flatten()[:50].float(), coordinates[6].flatten()[:50].float())
    kept = torch.equal(view.inverse(coordinates).float(), weights_MP)
    assert kept, (view.inverse(coordinates).float() - weights_MP).abs().max()


@pytest.fixture(scope="module", params=range(DIGITS_MLP_DIVERSE.axes["activation"].count))
def diverse(request, data) -> Population:
    """A shard of fully trained networks of every kind; those with weight decay have weights down to 1e-38."""
    recipe, shard = DIGITS_MLP_DIVERSE, request.param
    architecture = recipe.member_architecture(shard * recipe.shard_members, data)
    members = [recipe.member(index) for index in range(64 * shard, 64 * shard + 32)]
    weights_MP = torch.empty(32, architecture.parameters)
    for snapshot in train_population(
        architecture, members, data.train, epochs=60, snapshot_epochs=[60], backend="closed-form"
    ):
        weights_MP[list(snapshot.rows)] = snapshot.weights_MP
    finite = torch.nonzero(torch.isfinite(weights_MP).all(dim=1)).flatten()
    return single_architecture(architecture, weights_MP, members).select(finite)


@pytest.mark.parametrize("name", VIEWS)
def test_trained_networks_come_back_to_the_stated_precision(data, diverse, name):
    weights_MP, architecture = diverse.weights_MP, diverse.architecture
    rows = neuron_rows(architecture, weights_MP.abs())
    largest = [row.amax(dim=2, keepdim=True).clamp_min(row.mean()).expand_as(row) for row in rows]
    stated_MP = (weights_MP == 0) | (weights_MP.abs() >= 1e-7 * from_neuron_rows(architecture, largest))
    view = VIEWS[name].fit(diverse, data.train)
    restored_MP = view.inverse(view.forward(weights_MP)).float()
    assert float(stated_MP.float().mean()) > 0.9
    assert torch.equal(restored_MP[stated_MP], weights_MP[stated_MP])
    assert float((restored_MP - weights_MP).abs().max()) <= (0 if name in ("flat", "tokens") else 1e-11)


@pytest.mark.parametrize("name", ["flat", "tokens"])
def test_decayed_weights_of_dead_inputs_are_exact_however_small(data, name):
    population = trained(data)
    view = VIEWS[name].fit(population, data.train)
    weights_MP = population.weights_MP.clone()
    weights_MP[5, 0] *= 1e-20  # the first pixel is never lit in any digit
    assert float(weights_MP[5, 0]) != 0
    assert torch.equal(view.inverse(view.forward(weights_MP)).float(), weights_MP)


@pytest.mark.parametrize("name", VIEWS)
def test_state_restores_the_view(data, name):
    population = trained(data, (7, 5))
    view = VIEWS[name].fit(population, data.train)
    restored = VIEWS[name].from_state(population.architecture, view.state())
    coordinates = view.forward(population.weights_MP)
    assert torch.equal(restored.forward(population.weights_MP), coordinates)
    assert torch.equal(restored.inverse(coordinates), view.inverse(coordinates))


@pytest.mark.parametrize("name", VIEWS)
def test_inverse_is_differentiable(data, name):
    population = trained(data)
    view = VIEWS[name].fit(population, data.train)
    coordinates = view.forward(population.weights_MP).requires_grad_()
    view.inverse(coordinates).square().sum().backward()
    assert torch.isfinite(coordinates.grad).all()
    assert float(coordinates.grad.abs().sum()) > 0


def test_tokens_are_neurons(data):
    population = trained(data, (3,))
    view = NeuronTokens(population.architecture)
    tokens_MTD = view.forward(population.weights_MP).float()
    module = population.architecture.to_module(population.weights_MP[2])
    assert tokens_MTD.shape == (24, 13, 65)
    assert view.layer_T.tolist() == [0] * 3 + [1] * 10
    assert torch.equal(tokens_MTD[2, 1, :64], module[1].weight[1])
    assert tokens_MTD[2, 1, 64] == module[1].bias[1]
    assert torch.equal(tokens_MTD[2, 5, :3], module[3].weight[2])
    assert view.mask_TD[3:].sum(dim=1).tolist() == [4] * 10
    assert float(tokens_MTD[:, ~view.mask_TD].abs().sum()) == 0
    with pytest.raises(ValueError, match=r"expected \[members, \*\(13, 65\)\]"):
        view.inverse(tokens_MTD[:, 1:])


def test_standardized_has_zero_mean_and_nearly_unit_deviation(data):
    population = trained(data)
    coordinates_MP = VIEWS["standardized"].fit(population, data.train).forward(population.weights_MP)
    for spec in population.architecture.layout:
        assert abs(float(coordinates_MP[:, spec.span].mean())) < 1e-6
        assert 0.7 < float(coordinates_MP[:, spec.span].std()) < 1.42


def test_class_rotation_is_orthonormal_and_begins_with_the_mean():
    rotation_CC = class_rotation(10)
    torch.testing.assert_close(rotation_CC @ rotation_CC.T, torch.eye(10).double())
    torch.testing.assert_close(rotation_CC[0], torch.full((10,), 10**-0.5).double())


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_root_times_itself_is_the_moment_and_inputs_that_never_occur_lose_nothing(symmetric):
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moment_DD = torch.block_diag(rows.T @ rows / 50, torch.zeros(2, 2, dtype=torch.float64))
    root = Root.of(moment_DD, symmetric=symmetric)
    torch.testing.assert_close(root.matrix @ root.matrix.T, moment_DD, rtol=1e-3, atol=1e-3)
    vectors = torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(root.undo(root.apply(vectors)), vectors)
    blank = Root.of(torch.zeros(3, 3, dtype=torch.float64), symmetric=symmetric)
    torch.testing.assert_close(blank.undo(blank.apply(vectors[:, :3])), vectors[:, :3])


def test_diverged_members_do_not_spoil_the_fit(data):
    population = trained(data)
    broken_MP = population.weights_MP.clone()
    broken_MP[:6] = float("nan")
    broken_MP[6] *= 1e30
    broken = population.with_weights(broken_MP)
    for name in VIEWS:
        assert all(bool(torch.isfinite(t).all()) for t in VIEWS[name].fit(broken, data.train).state().values())
    for moment_DD in input_moments(broken, data.train):
        assert float(torch.linalg.eigvalsh(moment_DD).min()) > -1e-6 * float(moment_DD.diagonal().max())
    with pytest.raises(ValueError, match="none of"):
        input_moments(population.with_weights(population.weights_MP * float("nan")), data.train)


def test_dead_inputs_can_be_zeroed_without_a_change_of_function(data):
    population = trained(data)
    zeroed_MP = zero_dead_inputs(population.weights_MP, population.architecture, data.train)
    dead_D = (data.train.values == 0).flatten(1).all(dim=0)
    assert int(dead_D.sum()) > 0
    weight_MHD = population.architecture.tensors(zeroed_MP)["1.weight"]
    assert float(weight_MHD[:, :, dead_D].abs().sum()) == 0
    assert torch.equal(
        weight_MHD[:, :, ~dead_D], population.architecture.tensors(population.weights_MP)["1.weight"][:, :, ~dead_D]
    )
    inputs = data.train.inputs
    torch.testing.assert_close(population.logits(inputs), population.logits(inputs, weights_MP=zeroed_MP))


def convolutional(name, members=6) -> Population:
    architecture = CONVOLUTIONAL[name]
    return single_architecture(
        architecture, random_weights(architecture, members), [Member(id=i, seed=i) for i in range(members)]
    )


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_come_back_bit_for_bit(data, name, view):
    population = convolutional(name)
    fitted = VIEWS[view].fit(population, data.train)
    restored = VIEWS[view].from_state(population.architecture, fitted.state())
    coordinates = fitted.forward(population.weights_MP)
    assert torch.equal(restored.inverse(coordinates).float(), population.weights_MP)


def test_tokens_are_channels_with_the_batch_norm_that_follows():
    population = convolutional("resnet")
    view = NeuronTokens(population.architecture)
    tokens_MTD = view.forward(population.weights_MP).float()
    state = population.architecture.to_module(population.weights_MP[1]).state_dict()
    # A stem, two convolutions, two convolutions and a shortcut, classes: channels and entries of each.
    assert view.shapes == ((4, 31), (4, 40), (4, 40), (6, 40), (6, 58), (6, 8), (5, 7))
    assert view.layer_T.tolist() == [i for i, (neurons, _) in enumerate(view.shapes) for _ in range(neurons)]
    norm = [state[f"3.body.1.{part}"][2] for part in ("weight", "bias", "running_mean", "running_var")]
    assert torch.equal(tokens_MTD[1, 6, :40], torch.cat([state["3.body.0.weight"][2].flatten(), torch.stack(norm)]))
    assert float(tokens_MTD[:, ~view.mask_TD].abs().sum()) == 0


def test_a_batch_norm_on_its_own_has_tokens_of_its_own():
    view = NeuronTokens(CONVOLUTIONAL["norms of vectors and of images"])
    assert view.shapes == ((2, 4), (3, 2 * 9 + 1 + 4), (27, 4), (6, 27 + 1 + 4), (4, 7))


def test_tokens_move_with_their_channels():
    population = convolutional("cnn-4970")
    permutations = random_permutations(population.architecture, 6)
    moved_MP = permute(population.weights_MP, population.architecture, {"4": permutations["4"]})
    view = NeuronTokens(population.architecture)
    before, after = view.forward(population.weights_MP), view.forward(moved_MP)
    assert torch.equal(after[:, 32:48], before[:, 32:48].gather(1, permutations["4"][..., None].expand(-1, -1, 145)))
    assert torch.equal(after[:, :32], before[:, :32])


@pytest.mark.parametrize("metric", [InputMetric, InputBasis])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_input_metric_comes_back_for_every_architecture(name, metric):
    population = convolutional(name)
    architecture = population.architecture
    examples = Examples(random_examples(architecture, 40), torch.zeros(40, dtype=torch.int64))
    view = metric.fit(population, examples)
    again = metric.from_state(architecture, view.state())
    coordinates_MP = view.forward(population.weights_MP)
    assert torch.equal(again.forward(population.weights_MP), coordinates_MP)
    torch.testing.assert_close(again.inverse(coordinates_MP), population.weights_MP, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("padding", [0, 1])
def test_dead_kernel_entries_can_be_zeroed_without_a_change_of_function(padding):
    """The first channel is black but for one row, the second all black."""
    architecture = Architecture(
        (3, 6, 6),
        (
            Conv(channels=4, kernel=3, stride=2, padding=padding),
            Activate(function="tanh"),
            Flatten(),
            Linear(features=3),
        ),
    )
    pixels = torch.randint(1, 256, (20, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[:, 0, :5] = 0
    pixels[:, 1] = 0
    images = Examples(pixels, torch.zeros(20, dtype=torch.int64), 1 / 255)
    weights_MP = random_weights(architecture)
    zeroed_MP = zero_dead_inputs(weights_MP, architecture, images)
    kernels = architecture.tensors(zeroed_MP)["0.weight"]
    rows = [bool((kernels[:, :, 0, row] != 0).all()) for row in range(3)]
    # Without padding the last row of pixels is never read: two steps of two and a kernel of three end before it.
    assert rows == ([False, False, False] if padding == 0 else [False, False, True])
    assert float(kernels[:, :, 1].abs().sum()) == 0
    assert bool((kernels[:, :, 2] != 0).all())
    assert torch.equal(zeroed_MP[:, 108:], weights_MP[:, 108:])
    torch.testing.assert_close(
        architecture.logits(zeroed_MP, images.inputs), architecture.logits(weights_MP, images.inputs)
    )


def test_nothing_is_dead_behind_what_changes_pixels(data):
    for name in (
        "norms of vectors and of images",
        "a residual on the input and one in a residual",
        "every pool on rescaled pixels",
    ):
        population = convolutional(name)
        blank = Examples(
            torch.zeros(5, *population.architecture.input_shape, dtype=torch.uint8),
            torch.zeros(5, dtype=torch.int64),
            1.0,
        )
        assert torch.equal(without_dead_inputs(population, blank).weights_MP, population.weights_MP)
