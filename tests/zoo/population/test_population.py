"""Populations: rows with their architectures, and what is known of each."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zoo.architecture import mlp
from zoo.population import Member, Population, single_architecture


def random_weights(architecture, members):
    return torch.randn(members, architecture.parameters, generator=torch.Generator().manual_seed(2))


def test_a_mixed_population_applies_each_members_own_architecture():
    architectures = tuple(mlp((1, 4, 4), (5,), 4, activation=name) for name in ("relu", "tanh", "sigmoid"))
    weights = random_weights(architectures[0], 7)
    kinds = torch.tensor([2, 0, 1, 1, 0, 2, 0])
    population = Population(
        weights_MP=weights,
        architectures=architectures,
        architecture_M=kinds,
        members=tuple(Member(id=i, seed=i) for i in range(7)),
        epochs=tuple(range(7)),
    )
    x = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(4))
    logits = population.logits(x)
    for row in range(7):
        expected = architectures[kinds[row]].logits(weights[row : row + 1], x)[0]
        torch.testing.assert_close(logits[row], expected)
    part = population.select([5, 0])
    torch.testing.assert_close(part.logits(x), logits[[5, 0]])
    assert [member.id for member in part.members] == [5, 0]
    assert part.epochs == (5, 0)


def test_a_population_has_one_layout_and_matching_rows():
    a, b = mlp((1, 4, 4), (5,), 4), mlp((1, 4, 4), (6,), 4)
    member = Member(id=0, seed=0)
    with pytest.raises(ValueError, match="one parameter layout"):
        Population(
            weights_MP=random_weights(a, 1), architectures=(a, b), architecture_M=torch.tensor([0]), members=(member,)
        )
    with pytest.raises(ValueError, match="expected \\[members, 109\\]"):
        single_architecture(a, torch.zeros(1, 3), [member])
    with pytest.raises(ValueError, match="must be equal"):
        single_architecture(a, random_weights(a, 2), [member])


def known(members=4):
    architectures = tuple(mlp((1, 2, 2), (3,), 2, activation=name) for name in ("relu", "tanh"))
    return Population(
        weights_MP=random_weights(architectures[0], members),
        architectures=architectures,
        architecture_M=torch.arange(members) % 2,
        members=tuple(Member(id=i, seed=i, learning_rate=10.0**-i) for i in range(members)),
        epochs=tuple(range(members)),
        columns={"test_accuracy": np.linspace(0, 1, members), "split": np.array(["train", "test"] * (members // 2))},
    )


def test_columns_are_of_the_rows_then_of_members_epochs_and_architectures():
    population = known()
    assert population.column("split").tolist() == ["train", "test", "train", "test"]
    assert population.column("learning_rate").tolist() == [1, 0.1, 0.01, 0.001]
    assert population.column("epoch").tolist() == [0, 1, 2, 3]
    assert population.column("activation").tolist() == ["relu", "tanh", "relu", "tanh"]
    renamed = replace(population, columns={"epoch": np.arange(4) + 7})
    assert renamed.column("epoch").tolist() == [7, 8, 9, 10]
    with pytest.raises(ValueError, match=r"'test_r2'; allowed: test_accuracy, split, id, seed, .*epoch, activation"):
        population.column("test_r2")


def test_what_is_known_of_rows_goes_with_them():
    part = known().select([3, 0])
    assert part.column("test_accuracy").tolist() == [1, 0]
    assert part.column("split").tolist() == ["test", "train"]
    moved = part.with_weights(part.weights_MP + 1)
    assert moved.column("test_accuracy").tolist() == [1, 0]


def test_generated_networks_have_weights_and_architecture_alone():
    architecture = mlp((1, 2, 2), (3,), 2)
    generated = single_architecture(architecture, random_weights(architecture, 3))
    assert len(generated.select([2, 1])) == 2
    assert generated.column("activation").tolist() == ["relu"] * 3
    for name in ("epoch", "seed"):
        with pytest.raises(ValueError, match=f"under '{name}'; allowed: activation"):
            generated.column(name)


def test_columns_of_another_length_are_refused():
    architecture = mlp((1, 2, 2), (3,), 2)
    rows = {"weights_MP": random_weights(architecture, 3), "architectures": (architecture,)}
    rows["architecture_M"] = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match="3 rows of weights, but column 'loss' has 2"):
        Population(**rows, columns={"loss": np.zeros(2)})
    with pytest.raises(ValueError, match="3 rows of weights, but epochs has 1"):
        Population(**rows, epochs=(0,))


def test_a_column_of_a_single_row_is_still_a_column():
    architecture = mlp((1, 4, 4), (5,), 4, activation="tanh")
    population = single_architecture(architecture, random_weights(architecture, 1), [Member(id=3, seed=0)])
    assert population.column("activation").tolist() == ["tanh"]
    assert population.column("id").tolist() == [3]
