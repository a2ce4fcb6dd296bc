"""What layers read, what logits make of what they give, and batch norms folded: each against its definition."""

import pytest
import torch
from architectures import ARCHITECTURES, random_examples, random_permutations, random_weights

from zoo.architecture import BatchNorm, resnet
from zoo.data.examples import Examples
from zoo.population import single_architecture
from zoo.views import permute
from zoo.views.folding import Folding
from zoo.views.moments import input_moments, second_moment
from zoo.views.sensitivity import derivatives, sensitivities
from zoo.views.weight_layers import at_positions, watched, weight_layers

NORMED = ("resnet", "norms of vectors and of images")
FOLDABLE = {name: a for name, a in ARCHITECTURES.items() if name != NORMED[1]}
PLAIN = {name: a for name, a in ARCHITECTURES.items() if name not in NORMED}


def examples_of(architecture, count=12, seed=0) -> Examples:
    return Examples(random_examples(architecture, count, seed), torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("name", PLAIN)
def test_a_layer_gives_its_rows_times_its_patches(name):
    architecture = PLAIN[name]
    weights_MP, x = random_weights(architecture), random_examples(architecture, 5)
    inputs, outputs, logits_MNC = watched(architecture, weights_MP, x)
    torch.testing.assert_close(logits_MNC, architecture.logits(weights_MP, x))
    tensors = architecture.tensors(weights_MP)
    for layer in weight_layers(architecture):
        rows_MHD, patches = layer.rows(tensors), layer.patches(inputs[layer.name])
        product = patches @ rows_MHD.mT.unsqueeze(1)
        torch.testing.assert_close(product, at_positions(outputs[layer.name]), rtol=1e-4, atol=1e-5)
        assert patches.shape[-2:] == (layer.positions, layer.width)
        for key, tensor in layer.tensors(rows_MHD).items():
            assert torch.equal(tensor, tensors[key])


def test_moments_are_means_over_examples_and_positions():
    architecture = ARCHITECTURES["cnn"]
    population = single_architecture(architecture, random_weights(architecture, 3), ())
    examples = examples_of(architecture)
    first, second, last = weight_layers(architecture)
    assert (first.named, second.named, last.named) == (True, False, False)
    assert (second.units, second.entries, last.units, last.entries) == (4, 9, 6, 4)
    moments = input_moments(population, examples)
    padded = torch.nn.functional.pad(examples.inputs, (1, 1, 1, 1)).double()
    patches = [
        torch.cat([padded[n, :, i : i + 3, j : j + 3].flatten(), torch.ones(1)])
        for n in range(len(examples))
        for i in range(9)
        for j in range(8)
    ]
    expected_DD = sum(torch.outer(p, p) for p in patches) / len(patches)
    torch.testing.assert_close(moments[0], expected_DD.double(), rtol=1e-5, atol=1e-6)
    # A hidden layer's: the mean over units of what one member's patches have, for a single member exactly.
    one = population.select([1])
    inputs, _, _ = watched(architecture, one.weights_MP, examples.inputs)
    own_DD = second_moment(second.patches(inputs[second.name]))[0].double()
    pooled_DD = input_moments(one, examples)[1]
    blocks = own_DD[:36, :36].unflatten(1, (4, 9)).unflatten(0, (4, 9))
    torch.testing.assert_close(pooled_DD[:9, :9], sum(blocks[u, :, u] for u in range(4)) / 4, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(
        pooled_DD[:9, 9:18],
        sum(blocks[u, :, v] for u in range(4) for v in range(4) if u != v) / 12,
        rtol=1e-5,
        atol=1e-7,
    )
    torch.testing.assert_close(pooled_DD[:9, 36], own_DD[:36, 36].unflatten(0, (4, 9)).mean(0), rtol=1e-5, atol=1e-7)
    assert float(pooled_DD[36, 36]) == 1


@pytest.mark.parametrize("name", ["three hidden layers", "cnn", "cnn-2464", "blocks of different sizes are added"])
def test_moments_do_not_depend_on_the_order_of_units(name):
    architecture = ARCHITECTURES[name]
    population = single_architecture(architecture, random_weights(architecture), ())
    moved_MP = permute(population.weights_MP, architecture, random_permutations(architecture, 4))
    examples = examples_of(architecture)
    for own, moved in zip(
        input_moments(population, examples), input_moments(population.with_weights(moved_MP), examples), strict=True
    ):
        torch.testing.assert_close(own, moved, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["one hidden layer", "cnn", "every pool on rescaled pixels", "residuals of vectors"])
def test_sensitivities_are_those_of_automatic_differentiation(name):
    architecture = ARCHITECTURES[name]
    weights_MP, x = random_weights(architecture, 2), random_examples(architecture, 3)
    directions_KC = torch.linalg.qr(torch.randn(architecture.classes, architecture.classes))[0][:2]
    measured = sensitivities(architecture, weights_MP, x, directions_KC)
    tensors = {key: tensor.clone() for key, tensor in architecture.tensors(weights_MP).items()}
    for layer, found in zip(weight_layers(architecture), measured, strict=True):
        for member in range(2):
            own = {key: tensor[member : member + 1] for key, tensor in tensors.items()}

            def logits(rows_HD, example, own=own, layer=layer):
                changed = own | layer.tensors(rows_HD[None])
                return (architecture.apply(changed, x[example : example + 1]) @ directions_KC.T)[0, 0]

            rows_HD = layer.rows(own)[0]
            squares_HD = sum(
                torch.autograd.functional.jacobian(lambda r, e=e: logits(r, e), rows_HD).square().sum(0)
                for e in range(3)
            )
            torch.testing.assert_close(found.square_MHD[member], squares_HD / 3, rtol=1e-3, atol=1e-6)
            gram_HH = sum(_gram(architecture, own, x[e : e + 1], layer, directions_KC) for e in range(3)) / 3
            torch.testing.assert_close(found.gram_MHH[member], gram_HH, rtol=1e-3, atol=1e-6)


def _gram(architecture, own, x, layer, directions_KC):
    """Σ over positions of JᵀJ, J by the layer's outputs, one entry after the other."""

    def logits(delta):
        def moved(name, _, apply):
            return apply() + delta if name == layer.name else apply()

        return (architecture.apply(own, x, around_weights=moved) @ directions_KC.T)[0, 0]

    shape = (1, 1, *layer.place.output_shape)
    jacobian = torch.autograd.functional.jacobian(logits, torch.zeros(shape))[:, 0, 0].flatten(
        2 if len(shape) > 3 else 1
    )
    jacobian = jacobian if jacobian.ndim == 3 else jacobian.unsqueeze(2)
    return torch.einsum("khs,kgs->hg", jacobian, jacobian)


@pytest.mark.parametrize("name", ["cnn", "no bias"])
def test_derivatives_are_those_of_automatic_differentiation(name):
    architecture = ARCHITECTURES[name]
    weights_MP, x = random_weights(architecture, 2), random_examples(architecture, 3)
    directions_NKC = torch.randn(3, 2, architecture.classes, generator=torch.Generator().manual_seed(1))
    found = derivatives(architecture, weights_MP, x, directions_NKC)

    def along(weights_P):
        return (directions_NKC @ architecture.logits(weights_P[None], x)[0].unsqueeze(2)).squeeze(2)

    for member in range(2):
        expected_NKP = torch.autograd.functional.jacobian(along, weights_MP[member])
        tensors = architecture.tensors(expected_NKP.flatten(0, 1))
        for layer, jacobian in zip(weight_layers(architecture), found, strict=True):
            torch.testing.assert_close(jacobian[member].flatten(0, 1), layer.rows(tensors), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", FOLDABLE)
def test_folding_keeps_the_function_both_ways(name):
    architecture = FOLDABLE[name]
    weights_MP, x = random_weights(architecture), random_examples(architecture, 6)
    folding = Folding(architecture)
    assert not any(isinstance(place.layer, BatchNorm) for place in folding.folded.placed)
    folded_MQ = folding.fold(weights_MP)
    expected_MNC = architecture.logits(weights_MP, x)
    torch.testing.assert_close(folding.folded.logits(folded_MQ, x), expected_MNC, rtol=1e-4, atol=1e-5)
    unfolded_MP = folding.unfold(folded_MQ)
    assert unfolded_MP.shape == weights_MP.shape
    torch.testing.assert_close(architecture.logits(unfolded_MP, x), expected_MNC, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folding.fold(unfolded_MP), folded_MQ, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_folded_is_refused():
    with pytest.raises(ValueError, match="the batch norm 0 does not follow a linear layer or a convolution"):
        Folding(ARCHITECTURES["norms of vectors and of images"])
    folding = Folding(resnet((1, 8, 8), (4, 6), 3))
    assert folding.norms["0"] == "1"
    assert folding.names["2.body.2"] == "3.body.3"
