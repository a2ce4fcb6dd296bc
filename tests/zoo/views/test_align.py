import pytest
import torch
from architectures import CONVOLUTIONAL, random_examples, random_permutations

from zoo.architecture import mlp
from zoo.population import Member
from zoo.population.initialization import initial_weights
from zoo.views import align, canonicalize, inverted, permute
from zoo.views.canonical import canonical_order

HIDDEN = [(5,), (6, 4), (5, 5, 3)]


def some_weights(architecture, members=9):
    weights_MP = initial_weights(architecture, [Member(id=i, seed=i) for i in range(members)])
    generator = torch.Generator().manual_seed(1)
    return weights_MP + 0.05 * torch.randn(weights_MP.shape, generator=generator)


MLPS = {
    f"mlp {hidden}{'' if bias else ' without bias'}": mlp((1, 3, 4), hidden, 4, activation="gelu", bias=bias)
    for hidden in HIDDEN
    for bias in (True, False)
}


@pytest.fixture(params=MLPS | CONVOLUTIONAL, name="architecture")
def some_architecture(request):
    return (MLPS | CONVOLUTIONAL)[request.param]


def logits(architecture, weights_MP):
    return architecture.logits(weights_MP, random_examples(architecture, 10, seed=2))


def assert_same_function(architecture, one_MP, other_MP):
    torch.testing.assert_close(logits(architecture, one_MP), logits(architecture, other_MP), rtol=1e-4, atol=1e-4)


def test_permuting_keeps_the_function_and_is_undone(architecture):
    weights_MP = some_weights(architecture)
    permutations = random_permutations(architecture, len(weights_MP))
    permuted_MP = permute(weights_MP, architecture, permutations)
    assert not torch.equal(permuted_MP, weights_MP)
    assert_same_function(architecture, permuted_MP, weights_MP)
    assert torch.equal(permute(permuted_MP, architecture, inverted(permutations)), weights_MP)


def test_alignment_keeps_the_function_and_is_undone(architecture):
    weights_MP = some_weights(architecture)
    alignment = align(weights_MP, architecture, weights_MP[0])
    assert not torch.equal(alignment.weights_MP, weights_MP)
    assert_same_function(architecture, alignment.weights_MP, weights_MP)
    assert torch.equal(permute(weights_MP, architecture, alignment.permutations), alignment.weights_MP)
    assert torch.equal(alignment.undo(), weights_MP)


def test_alignment_never_moves_away_from_the_reference(architecture):
    weights_MP = some_weights(architecture)
    reference_P = weights_MP[0].double() * architecture.trainable
    before_M = weights_MP.double() @ reference_P
    after_M = align(weights_MP, architecture, weights_MP[0]).weights_MP.double() @ reference_P
    assert bool((after_M >= before_M - 1e-9).all())
    assert float((after_M - before_M)[1:].median()) > 0


def test_units_that_read_themselves_never_move_away_from_the_reference():
    """Their weights move along two axes at once: one assignment's gain is not the sum of what it gains on each."""
    architecture = CONVOLUTIONAL["residuals of vectors"]
    weights_MP = some_weights(architecture, 40)
    architecture.tensors(weights_MP)["1.body.1.weight"].mul_(10)
    before_M = weights_MP.double() @ weights_MP[0].double()
    after_M = align(weights_MP, architecture, weights_MP[0]).weights_MP.double() @ weights_MP[0].double()
    assert bool((after_M >= before_M - 1e-9).all())


def test_alignment_recovers_a_permuted_reference():
    """With one hidden layer the assignment is the global optimum."""
    architecture = mlp((1, 3, 4), (7,), 4)
    reference_P = some_weights(architecture, 1)[0]
    permuted_MP = permute(reference_P.repeat(20, 1), architecture, random_permutations(architecture, 20))
    noise_MP = 0.01 * torch.randn(permuted_MP.shape, generator=torch.Generator().manual_seed(3))
    aligned_MP = align(permuted_MP + noise_MP, architecture, reference_P).weights_MP
    assert float((aligned_MP - reference_P).abs().max()) < 0.06


def test_alignment_recovers_a_planted_permutation(architecture):
    reference_P = some_weights(architecture, 1)[0]
    permuted_MP = permute(reference_P.repeat(8, 1), architecture, random_permutations(architecture, 8))
    aligned_MP = align(permuted_MP, architecture, reference_P).weights_MP
    recovered_M = (aligned_MP == reference_P).all(dim=1)
    # With more than one hidden layer an optimum is local.
    assert int(recovered_M.sum()) >= (8 if len(architecture.symmetry) == 1 else 6)


def test_alignment_of_many_equals_alignment_of_each(architecture):
    weights_MP = some_weights(architecture)
    together_MP = align(weights_MP, architecture, weights_MP[0]).weights_MP
    for member in range(1, len(weights_MP)):
        alone_MP = align(weights_MP[member : member + 1], architecture, weights_MP[0]).weights_MP
        assert torch.equal(alone_MP[0], together_MP[member])


def test_diverged_members_cannot_be_aligned():
    architecture = mlp((1, 3, 4), (7,), 4)
    weights_MP = some_weights(architecture)
    weights_MP[2, 3] = float("nan")
    with pytest.raises(ValueError, match="diverge"):
        align(weights_MP, architecture, weights_MP[0])


@pytest.mark.parametrize("seed", range(5))
def test_canonical_form_does_not_depend_on_the_order_of_units(architecture, seed):
    weights_MP = some_weights(architecture, 40)
    permuted_MP = permute(weights_MP, architecture, random_permutations(architecture, 40, seed))
    canonical_MP = canonicalize(weights_MP, architecture)
    assert torch.equal(canonicalize(permuted_MP, architecture), canonical_MP)
    assert torch.equal(canonicalize(canonical_MP, architecture), canonical_MP)
    assert_same_function(architecture, canonical_MP, weights_MP)
    undone_MP = permute(canonical_MP, architecture, inverted(canonical_order(weights_MP, architecture)))
    assert torch.equal(undone_MP, weights_MP)


def test_ties_are_broken_by_the_weights_themselves(architecture):
    """Units of equal norms: signs, zeros and shared values everywhere."""
    generator = torch.Generator().manual_seed(4)
    weights_MP = torch.randint(-1, 2, (60, architecture.parameters), generator=generator).float()
    weights_MP[0] = 0
    permuted_MP = permute(weights_MP, architecture, random_permutations(architecture, 60, 5))
    assert torch.equal(canonicalize(permuted_MP, architecture), canonicalize(weights_MP, architecture))


def test_canonical_form_puts_strong_units_first():
    architecture = mlp((1, 3, 4), (7,), 4)
    tensors = architecture.tensors(canonicalize(some_weights(architecture), architecture))
    incoming_MH = tensors["1.weight"].square().sum(dim=2) + tensors["1.bias"].square()
    size_MH = incoming_MH * tensors["3.weight"].square().sum(dim=1)
    assert bool((size_MH[:, :-1] >= size_MH[:, 1:] - 1e-6).all())


def test_unknown_layers_are_refused():
    architecture = mlp((1, 3, 4), (7,), 4)
    with pytest.raises(ValueError, match="no hidden layer is named '3'; there are 1"):
        permute(some_weights(architecture), architecture, {"3": torch.zeros(9, 4, dtype=torch.int64)})


def test_units_that_differ_only_in_the_outputs_they_lead_to_have_one_order():
    architecture = mlp((1, 1, 2), (2,), 2, bias=False)
    weights_1P = torch.tensor([[1.0, 2, 1, 2, 3, 5, 5, 3]])
    swapped_1P = permute(weights_1P, architecture, {"1": torch.tensor([[1, 0]])})
    assert not torch.equal(swapped_1P, weights_1P)
    assert torch.equal(canonicalize(swapped_1P, architecture), canonicalize(weights_1P, architecture))
