"""Fisher information against per-example gradients, a closed form, and the divergence that it predicts."""

import pytest
import torch
import torch.nn.functional as F

from zoo.architecture import cnn, mlp
from zoo.views.fisher import KINDS, fisher, spectrum

MLP = mlp((1, 3, 3), (4,), 3, activation="tanh")
CNN = cnn((1, 6, 6), (2, 3), 3, activation="tanh")
ARCHITECTURES = {"mlp": MLP, "cnn": CNN}


def random_networks(architecture, members=3, size=0.5):
    return size * torch.randn(members, architecture.parameters, generator=torch.Generator().manual_seed(1))


def examples(architecture, count=7):
    return torch.rand(count, *architecture.input_shape, generator=torch.Generator().manual_seed(2))


def log_probabilities(architecture, weights_P, x):
    return F.log_softmax(architecture.logits(weights_P[None], x)[0], dim=1)


def slow(architecture, weights_P, x, weight_of):
    """Σ over examples and classes of weight · gradient gradientᵀ, by one backward pass each: ``[P, P]``."""
    total = torch.zeros(architecture.parameters, architecture.parameters, dtype=torch.float64)
    for n in range(len(x)):
        for c in range(architecture.classes):
            leaf = weights_P.clone().requires_grad_()
            log_p = log_probabilities(architecture, leaf, x[n : n + 1])[0]
            (gradient,) = torch.autograd.grad(log_p[c], leaf)
            total += weight_of(n, c, float(log_p[c].detach().exp())) * torch.outer(gradient, gradient).double() / len(x)
    return total


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_exact_diagonal_is_that_of_per_example_gradients(name):
    architecture, x = ARCHITECTURES[name], examples(ARCHITECTURES[name])
    weights_MP = random_networks(architecture)
    found = fisher(architecture, weights_MP, x)
    for weights_P, diagonal_P in zip(weights_MP, found.diagonal_MP, strict=True):
        expected = slow(architecture, weights_P, x, lambda _n, _c, p: p).diagonal()
        torch.testing.assert_close(diagonal_P, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_empirical_diagonal_takes_the_labels(name):
    architecture, x = ARCHITECTURES[name], examples(ARCHITECTURES[name])
    labels = torch.arange(len(x)) % 3
    weights_MP = random_networks(architecture, 1)
    found = fisher(architecture, weights_MP, x, kind="empirical", labels_N=labels)
    expected = slow(architecture, weights_MP[0], x, lambda n, c, _p: float(labels[n] == c)).diagonal()
    torch.testing.assert_close(found.diagonal_MP[0], expected, rtol=1e-3, atol=1e-7)


def test_many_draws_come_to_the_exact_matrix():
    weights_MP, x = random_networks(MLP, 2), examples(MLP)
    exact, drawn = (fisher(MLP, weights_MP, x, kind=kind, samples=3000).diagonal_MP for kind in KINDS[:2])
    torch.testing.assert_close(drawn, exact, rtol=0.2, atol=2e-3)
    assert not torch.equal(drawn, exact)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_small_changes_move_predictions_by_what_the_whole_matrix_says(name):
    architecture, x = ARCHITECTURES[name], examples(ARCHITECTURES[name], 40)
    weights_P = random_networks(architecture, 1)[0].double()
    change_P = 1e-3 * torch.randn(architecture.parameters, generator=torch.Generator().manual_seed(4)).double()
    before, after = (log_probabilities(architecture, w, x.double()) for w in (weights_P, weights_P + change_P))
    moved = float((before.exp() * (before - after)).sum(1).mean())
    whole = slow(architecture, weights_P.float(), x, lambda _n, _c, p: p)
    assert 0.5 * float(change_P @ whole @ change_P) == pytest.approx(moved, rel=0.05)
    found = fisher(architecture, weights_P[None].float(), x)
    for predicted in (found.by_diagonal(change_P[None]), found.by_kronecker(change_P[None])):
        assert 0.3 < float(predicted) / moved < 3


def test_of_one_layer_and_one_example_the_kronecker_product_is_exact():
    softmax = mlp((1, 3, 3), (), 3)
    weights_MP, x = random_networks(softmax, 2), examples(softmax, 1)
    change_MP = torch.randn(2, softmax.parameters, generator=torch.Generator().manual_seed(5))
    found = fisher(softmax, weights_MP, x).by_kronecker(change_MP)
    for member in range(2):
        whole = slow(softmax, weights_MP[member], x, lambda _n, _c, p: p)
        expected = 0.5 * float(change_MP[member].double() @ whole @ change_MP[member].double())
        assert float(found[member]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_spectrum_is_that_of_the_whole_matrix(name):
    architecture, x = ARCHITECTURES[name], examples(ARCHITECTURES[name], 4)
    weights_P = random_networks(architecture, 1)[0]
    whole = slow(architecture, weights_P, x, lambda _n, _c, p: p)
    found = spectrum(architecture, weights_P, x)
    expected = torch.linalg.eigvalsh(whole).flip(0)[: len(found)]
    torch.testing.assert_close(found[:8], expected[:8], rtol=1e-3, atol=1e-7)
    diagonal = fisher(architecture, weights_P[None], x).diagonal_MP
    assert float(found.sum()) == pytest.approx(float(diagonal.sum()), rel=1e-3)


def test_values_have_the_jacobian_s_inner_products_for_information():
    linear = mlp((1, 2, 2), (), 2)
    x = examples(linear, 5)
    diagonal = fisher(linear, torch.zeros(1, linear.parameters), x, softmax=False).diagonal_MP[0]
    squares = x.flatten(1).square().mean(0).double()
    torch.testing.assert_close(diagonal, torch.cat([squares, squares, torch.ones(2).double()]), rtol=1e-5, atol=1e-8)


def test_pieces_of_members_and_examples_change_nothing(monkeypatch):
    weights_MP, x = random_networks(CNN, 5), examples(CNN)
    whole = fisher(CNN, weights_MP, x)
    monkeypatch.setattr("zoo.views.fisher.AT_ONCE", 1)
    pieces = fisher(CNN, weights_MP, x)
    torch.testing.assert_close(pieces.diagonal_MP, whole.diagonal_MP, rtol=1e-5, atol=1e-10)
    for one, other in zip((*pieces.inputs, *pieces.outputs), (*whole.inputs, *whole.outputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-10)


def test_unknown_kinds_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match="kind is 'true'; allowed: exact, monte-carlo, empirical"):
        fisher(MLP, random_networks(MLP), examples(MLP), kind="true")
    with pytest.raises(ValueError, match="the empirical Fisher information needs labels_N"):
        fisher(MLP, random_networks(MLP), examples(MLP), kind="empirical")
