"""Architectures as data: layout, symmetry, forward, modules, JSON."""

import json
import math

import pytest
import torch
from architectures import ARCHITECTURES as CASES
from architectures import CONVOLUTIONAL, MLPS, random_examples, random_permutations, random_weights
from torch import nn

from zoo.architecture import (
    ARCHITECTURES,
    LAYERS,
    Activate,
    Architecture,
    Axis,
    BatchNorm,
    BatchStatistics,
    Conv,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Rescale,
    Residual,
    cnn,
    cnn_2464,
    mlp,
    resnet,
)
from zoo.architecture.activations import ACTIVATIONS
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.views import permute
from zoo.views.canonical import permute_axis


@pytest.fixture(params=CASES, name="architecture")
def some_architecture(request):
    return CASES[request.param]


@pytest.mark.parametrize("own", [False, True], ids=["shared examples", "own examples"])
def test_batched_forward_equals_the_modules(architecture, own):
    weights = random_weights(architecture)
    x = random_examples(architecture, 28 if own else 7)
    x = x.unflatten(0, (4, 7)) if own else x
    logits = architecture.logits(weights, x)
    assert logits.shape == (4, 7, architecture.classes)
    for row in range(4):
        expected = architecture.to_module(weights[row]).eval()(x[row] if own else x)
        torch.testing.assert_close(logits[row], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("own", [False, True], ids=["shared examples", "own examples"])
def test_training_equals_the_modules_in_outputs_gradients_and_buffers(architecture, own):
    weights = random_weights(architecture).double().requires_grad_()
    x = random_examples(architecture, 24 if own else 6).double()
    x = x.unflatten(0, (4, 6)) if own else x
    statistics = BatchStatistics()
    logits = architecture.logits(weights, x, batch_statistics=statistics)
    (gradients,) = torch.autograd.grad(logits.square().sum(), weights)
    updated = weights.detach().clone()
    for name, buffer_MC in statistics.buffers.items():
        architecture.tensors(updated)[name].copy_(buffer_MC)
    buffers = {spec.name for spec in architecture.layout if not spec.trainable}
    assert set(statistics.buffers) == buffers
    assert torch.equal(updated != weights, ~architecture.trainable.expand_as(weights))
    for row in range(4):
        module = architecture.to_module(weights[row].detach()).train()
        expected = module(x[row] if own else x)
        torch.testing.assert_close(logits[row], expected)
        expected.square().sum().backward()
        torch.testing.assert_close(updated[row], architecture.from_module(module))
        for name, parameter in module.named_parameters():
            own_gradient = architecture.tensors(gradients)[name][row]
            torch.testing.assert_close(own_gradient, parameter.grad, rtol=1e-6, atol=1e-8)


def test_module_and_tensors_are_inverses(architecture):
    weights = random_weights(architecture)
    assert torch.equal(architecture.flatten(architecture.tensors(weights)), weights)
    module = architecture.to_module(weights[2])
    assert torch.equal(architecture.from_module(module), weights[2])
    assert list(module.state_dict()) == [spec.name for spec in architecture.layout]


def test_json_is_the_identity(architecture):
    value = architecture.to_json()
    assert Architecture.from_json(json.loads(json.dumps(value))) == architecture


def test_every_permutation_of_the_symmetry_keeps_the_function(architecture):
    weights = random_weights(architecture)
    x = random_examples(architecture, 7)
    logits = architecture.logits(weights, x)
    for name, order in random_permutations(architecture, 4).items():
        moved = permute(weights, architecture, {name: order})
        assert not torch.equal(moved, weights)
        torch.testing.assert_close(architecture.logits(moved, x), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].symmetry])
def test_each_axis_of_the_symmetry_is_needed(name):
    """Left out of its group, an axis changes the function: none moves for nothing."""
    architecture = CASES[name]
    weights = random_weights(architecture, 2, seed=5)
    x = random_examples(architecture, 7)
    for group, axes in architecture.symmetry.items():
        width = random_permutations(architecture, 1)[group].shape[1]
        order = torch.arange(width).roll(1).expand(2, -1)
        for left_out in axes:
            tensors = architecture.tensors(permute(weights, architecture, {group: order}))
            tensors[left_out.tensor] = permute_axis(tensors[left_out.tensor], left_out, torch.argsort(order, dim=1))
            logits = architecture.logits(architecture.flatten(tensors), x)
            assert not torch.allclose(logits, architecture.logits(weights, x), rtol=1e-3, atol=1e-3), left_out


def test_channels_are_blocks_of_what_a_flatten_makes_of_them():
    groups = cnn_2464((3, 32, 32), (), 10).symmetry
    assert list(groups) == ["0", "3", "6", "9"]
    assert groups["6"] == (Axis("6.weight", 0), Axis("6.bias", 0), Axis("9.weight", 1, 16))


def test_what_is_added_moves_together():
    groups = resnet((1, 8, 8), (4,), 3).symmetry
    norm = ("weight", "bias", "running_mean", "running_var")
    assert groups == {
        "0": (
            Axis("0.weight", 0),
            *(Axis(f"1.{part}", 0) for part in norm),
            Axis("3.body.0.weight", 1),
            Axis("3.body.3.weight", 0),
            *(Axis(f"3.body.4.{part}", 0) for part in norm),
            Axis("6.weight", 1),
        ),
        "3.body.0": (
            Axis("3.body.0.weight", 0),
            *(Axis(f"3.body.1.{part}", 0) for part in norm),
            Axis("3.body.3.weight", 1),
        ),
    }


def test_what_is_added_to_the_input_or_is_an_output_does_not_move():
    on_input = Architecture((2, 4, 4), (Residual(body=(Conv(channels=2, kernel=1),)), Flatten(), Linear(features=3)))
    to_output = Architecture((2, 4, 4), (Conv(channels=3, kernel=1), GlobalAveragePool()))
    assert on_input.symmetry == to_output.symmetry == {}


@pytest.mark.parametrize(
    ("name", "hidden", "parameters"),
    [
        ("mlp", (16,), 784 * 16 + 16 + 170),
        ("cnn", (4, 8), 9 * 4 + 4 + 36 * 8 + 8 + 392 * 10 + 10),
        ("cnn-2464", (), 2464),
        ("cnn-4970", (), 4970),
        ("cnn-strided", (4, 6), 25 * 4 + 4 + 100 * 6 + 6 + 6 * 49 * 10 + 10),
        ("mlp-or-cnn", (16,), 784 * 16 + 16 + 170),
        ("resnet", (4,), 9 * 4 + 2 * 144 + 3 * 16 + 50),
    ],
)
def test_ready_architectures_have_the_published_number_of_parameters(name, hidden, parameters):
    architecture = ARCHITECTURES[name]((1, 28, 28), hidden, 10, activation="gelu", bias=True)
    assert architecture.parameters == parameters == sum(spec.size for spec in architecture.layout)
    assert {place.layer.function for place in architecture.activations} == {"gelu"}
    assert ARCHITECTURES[name]((3, 32, 32), hidden, 7, activation="relu", bias=False).classes == 7


def test_mlps_and_cnns_come_from_one_builder_by_their_kind():
    build = ARCHITECTURES["mlp-or-cnn"]
    assert build((1, 8, 8), (4, 8), 10, kind="cnn", activation="tanh") == cnn((1, 8, 8), (4, 8), 10, activation="tanh")
    assert build((1, 8, 8), (4, 8), 10, activation="tanh") == mlp((1, 8, 8), (4, 8), 10, activation="tanh")
    with pytest.raises(ValueError, match="mlp-or-cnn's kind is 'resnet'; allowed: mlp, cnn"):
        build((1, 8, 8), (4,), 10, kind="resnet")


def test_every_builder_and_every_kind_of_layer_has_a_test_above():
    assert set(ARCHITECTURES) == {"mlp", "cnn", "cnn-2464", "cnn-4970", "cnn-strided", "mlp-or-cnn", "resnet"}
    assert {place.layer.kind for case in CASES.values() for place in case.placed} == set(LAYERS)


def test_a_batch_norm_starts_as_the_identity_and_kernels_by_their_fans():
    architecture = resnet((3, 8, 8), (4, 6), 5)
    members = [Member(id=i, seed=i, initialization="kaiming_normal") for i in range(50)]
    weights = initial_weights(architecture, members)
    tensors = architecture.tensors(weights)
    for norm in ("1", "3.body.1", "5.shortcut.1"):
        for part, value in {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}.items():
            assert bool((tensors[f"{norm}.{part}"] == value).all())
    for conv, fan_in in {"0": 27, "3.body.0": 36, "5.shortcut.0": 4}.items():
        assert float(tensors[f"{conv}.weight"].std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
    assert float(tensors["8.bias"].abs().max()) == 0


def test_modules_load_what_torch_saves_and_count_no_batches():
    architecture = CASES["resnet"]
    weights = random_weights(architecture)
    module = architecture.to_module(weights[0])
    module.load_state_dict(architecture.to_module(weights[1]).state_dict())
    assert torch.equal(architecture.from_module(module), weights[1])
    # A state as files hold it: no versions, the counts of batches that torch's own modules keep.
    state = {name: tensor[2] for name, tensor in architecture.tensors(weights).items()}
    module.load_state_dict(state)
    module.load_state_dict(state | {"1.num_batches_tracked": torch.tensor(3)})
    assert torch.equal(architecture.from_module(module), weights[2])
    ordinary = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    small = Architecture((3, 3, 3), (Conv(channels=2, kernel=3), BatchNorm(), Flatten(), Linear(features=2)))
    restored = small.to_module(small.from_module(ordinary))
    x = random_examples(small, 5)
    torch.testing.assert_close(restored.eval()(x), ordinary.eval()(x))


@pytest.mark.parametrize("name", ["resnet", "norms of vectors and of images"])
def test_a_running_variance_below_zero_counts_as_zero(name):
    architecture = CASES[name]
    weights, x = random_weights(architecture), random_examples(architecture, 5)
    variances = torch.cat([torch.full((s.size,), s.name.endswith("running_var")) for s in architecture.layout])
    below = torch.where(variances & (torch.arange(architecture.parameters) % 2 == 0), -0.01, weights)
    zero = torch.where(below == -0.01, 0.0, below)
    assert not torch.equal(below, zero)
    logits = architecture.logits(below, x)
    assert bool(torch.isfinite(logits).all())
    assert torch.equal(logits, architecture.logits(zero, x))
    module = architecture.to_module(below[1]).eval()
    torch.testing.assert_close(module(x), logits[1], rtol=1e-4, atol=1e-4)
    assert torch.equal(architecture.from_module(module), zero[1])
    missing = architecture.logits(torch.where(variances, torch.nan, weights), x)
    assert bool(torch.isnan(missing).all())


def test_layers_inside_residuals_have_places_and_activations_numbers():
    architecture = CASES["a residual on the input and one in a residual"]
    names = [place.name for place in architecture.placed]
    assert names == [
        *("0", "0.body.0", "0.body.1", "1", "2"),
        *("3", "3.body.0", "3.body.0.body.0", "3.body.0.body.1", "3.body.0.shortcut.0", "3.body.0.shortcut.1"),
        *("3.shortcut.0", "4", "5", "6"),
    ]
    seen = []

    def record(number, value):
        seen.append((number, tuple(value.shape[-3:])))
        return value

    architecture.logits(random_weights(architecture), random_examples(architecture, 3), record)
    assert seen == [(number, place.output_shape) for number, place in enumerate(architecture.activations)]
    assert [place.name for place in architecture.activations] == ["0.body.1", "2", "3.body.0.body.1", "4"]


def test_multilayer_perceptrons_are_known():
    assert all(case.is_mlp for case in MLPS.values())
    assert not any(case.is_mlp for case in CONVOLUTIONAL.values())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_gradients_equal_autograd(name):
    activation = ACTIVATIONS[name]
    pre = torch.linspace(-4, 4, 101, requires_grad=True)
    post = activation.forward(pre)
    upstream = torch.linspace(-1, 2, 101)
    post.backward(upstream)
    gradient = upstream.clone()
    activation.backward_(gradient, pre.detach(), post.detach())
    torch.testing.assert_close(gradient, pre.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(activation.module()(pre), post)
    scaled = activation.forward(3 * pre.detach())
    assert activation.homogeneous == torch.allclose(scaled, 3 * post.detach(), atol=1e-6)


def test_after_activation_sees_and_replaces_hidden_values():
    architecture = CASES["three hidden layers"]
    weights, x = random_weights(architecture), torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    seen = []

    def zero(number, value):
        seen.append((number, tuple(value.shape)))
        return torch.zeros_like(value)

    logits = architecture.logits(weights, x, zero)
    assert seen == [(0, (4, 5, 12)), (1, (4, 5, 9)), (2, (4, 5, 7))]
    bias = architecture.tensors(weights)[architecture.layout[-1].name]
    assert torch.equal(logits, bias[:, None].expand_as(logits))


def built(*layers, shape=(3, 8, 8)):
    return Architecture(shape, layers)


def conv(**changed):
    return Conv(**{"channels": 4, "kernel": 3} | changed)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Activate(function="swish"), "unknown activation 'swish'; known: relu"),
        (lambda: Linear(features=0), "Linear.features is 0"),
        (lambda: conv(kernel=2.5), "Conv.kernel is 2.5; allowed: a positive integer"),
        (lambda: conv(padding=-1), "Conv.padding is -1; allowed: an integer, 0 or more"),
        (lambda: MaxPool(size=2, stride=0), "MaxPool.stride is 0"),
        (lambda: Rescale(scale=0), "Rescale.scale is 0; allowed: any other finite number"),
        (lambda: Rescale(offset=float("nan")), "Rescale.offset is nan; allowed: a finite number"),
        (lambda: Rescale(scale="2"), "Rescale.scale is '2'; allowed: a finite number"),
        (lambda: built(Linear(features=3)), r"layer 0: .*\(3, 8, 8\); put a Flatten before it"),
        (lambda: built(conv(), Linear(features=3)), r"layer 1: .*\(4, 6, 6\); put a Flatten before it"),
        (lambda: built(Flatten(), conv()), r"layer 1: a conv layer needs images .* got shape \(192,\)"),
        (lambda: built(conv(kernel=9)), r"layer 0: a conv window of 9 x 9 is larger than its input \(3, 8, 8\);"),
        (lambda: built(conv(kernel=9, padding=0), shape=(1, 28, 8)), "9 x 9 is larger"),
        (lambda: built(conv(), MaxPool(size=4), MaxPool(size=2)), r"layer 2: a max_pool window of 2 x 2 is larger"),
        (lambda: built(conv(kernel=12, padding=1)), "with padding 1; use a smaller window"),
        (lambda: built(Flatten(), GlobalAveragePool()), "global_average_pool layer needs images"),
        (lambda: built(BatchNorm(), shape=(3, 8)), r"vectors or images .* got shape \(3, 8\)"),
        (lambda: built(Residual(body=(conv(),))), r"body gives \(4, 6, 6\) and its shortcut \(3, 8, 8\); give the"),
        (lambda: built(Residual(body=(conv(), Linear(features=2)))), "layer 0: layer 1: a linear layer needs a flat"),
        (lambda: Residual(body=()), "Residual.body is empty"),
        (lambda: Residual(body=[conv()]), "Residual.body is .*allowed: a tuple of layers"),
        (lambda: built(conv()), "ends in one vector of outputs.*end with Flatten or GlobalAveragePool"),
        (lambda: built(), "ends in one vector of outputs"),
        (lambda: built(GlobalAveragePool()), "has none: add a Linear or a Conv"),
        (lambda: built(Flatten(), shape=(0, 4)), r"input_shape is \(0, 4\); allowed: positive integers"),
        (lambda: cnn_2464((1, 28, 28), (8,), 10), r"cnn-2464 has fixed widths, but hidden is \(8,\); give \(\)"),
        (lambda: cnn_2464((1, 8, 8), (), 10), r"larger than its input \(8, 2, 2\)"),
        (lambda: resnet((1, 8, 8), (), 10), "one number of channels or more"),
        (lambda: Architecture.from_json({"input_shape": [4], "layers": [{"kind": "magic"}]}), "unknown layer kind"),
        (lambda: Architecture.from_json({"input_shape": [4], "layers": [{"kind": "linear", "size": 2}]}), "size"),
        (lambda: Architecture.from_json({"input_shape": [4]}), "an input_shape and layers, each a list"),
        (lambda: Architecture.from_json({"input_shape": [4], "layers": ["linear"]}), "a kind; 'linear' is not"),
        (lambda: Architecture.from_json({"input_shape": [4], "layers": [{"kind": {}}]}), "unknown layer kind {}"),
        (
            lambda: Architecture.from_json(
                {"input_shape": [4], "layers": [{"kind": "residual", "body": [{"kind": "magic"}], "shortcut": []}]}
            ),
            "unknown layer kind 'magic'; known: activate, average_pool, batch_norm, conv",
        ),
        (lambda: mlp((1, 8, 8), (16,), 10).logits(torch.zeros(2, 9), torch.zeros(1, 1, 8, 8)), r"\[members, 1210\]"),
        (
            lambda: mlp((1, 8, 8), (16,), 10).from_module(nn.Sequential(nn.Flatten(), nn.Linear(4, 4))),
            r"expected \(16, 64\)",
        ),
        (
            lambda: built(Flatten(), Linear(features=2), BatchNorm()).logits(
                torch.zeros(1, 394), torch.zeros(1, 3, 8, 8), batch_statistics=BatchStatistics()
            ),
            "more than one value per channel",
        ),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: mlp((1, 8, 8), (1_000_000,), 10),
            r"1×8×8 → 1000000 → 10 has 75,000,010 parameters; allowed: up to 67,108,864",
        ),
        (lambda: mlp((10**6, 10**6, 10**6), (1,), 10), "parameters; allowed: up to 67,108,864"),
        (lambda: mlp((4,), (10**30,) * 3, 2), "parameters; allowed: up to 67,108,864"),
        (lambda: mlp((4,), (1,) * 500, 2), "the architecture has 1,002 layers; allowed: up to 1,000"),
        (
            lambda: cnn((1, 20_000, 20_000), (1,), 2, pool=1000),
            "400,000,000 values in one layer for one example; allowed: up to 67,108,864",
        ),
        (lambda: built(conv(kernel=1, padding=10**9), GlobalAveragePool(), Linear(features=2)), "values in one layer"),
        (
            lambda: built(Residual(body=(conv(kernel=1), conv(kernel=1, padding=10**6)), shortcut=(
                conv(kernel=1, padding=10**6),)), GlobalAveragePool(), Linear(features=2)),
            "values in one layer",
        ),
    ],
)  # fmt: skip
def test_absurd_architectures_are_refused_before_anything_is_made(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_work_is_the_number_of_products():
    assert mlp((1, 8, 8), (16,), 10).multiplications == 64 * 16 + 16 * 10
    network = cnn((1, 8, 8), (4,), 10)
    first, linear = network.layout[0], network.layout[2]
    convolution = network.placed[0]
    assert network.multiplications == math.prod(first.shape) * math.prod(convolution.output_shape[1:]) + math.prod(
        linear.shape
    )


def test_layers_in_words():
    assert mlp((1, 8, 8), (16, 4), 10, bias=False).summary == "1×8×8 → 16 (no bias) → 4 (no bias) → 10 (no bias)"
