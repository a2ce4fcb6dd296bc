"""What a fit sees of a zoo: of one layout, of a few members, and never nothing."""

import dataclasses

import pytest

from trainables.fit_data import fit_data
from trainables.trainable import FitData
from zoo.generation.build import generate_zoo
from zoo.recipes import RECIPES
from zoo.storage.errors import ZooError
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def mixed_zoo(tmp_path_factory):
    recipe = dataclasses.replace(RECIPES["digits-mlp-mixed"], members=96, epochs=1, snapshot_epochs=(0, 1))
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("layouts")))


def test_a_few_members_are_of_the_layout_that_is_named(mixed_zoo):
    last = len(mixed_zoo.layouts) - 1
    number = last - 1
    for split, part in (("train", "training"), ("validation", "validation")):
        first = next(mixed_zoo.populations(split, limit=1))
        assert first.architecture.layout != mixed_zoo.layouts[number], "the zoo's first members have another layout"
        (few,) = getattr(fit_data(mixed_zoo, training_members=2, validation_members=1, layout=number), part)
        (whole,) = getattr(fit_data(mixed_zoo, layout=number), part)
        assert {few.architecture.layout, whole.architecture.layout} == {mixed_zoo.layouts[number]}
        ids = sorted({member.id for member in whole.members})
        assert {member.id for member in few.members} == set(ids[: 2 if split == "train" else 1])
        assert len(ids) > len({member.id for member in few.members})
    with pytest.raises(ZooError, match="no snapshots with split 'validation', epochs 'one' in this parameter layout"):
        fit_data(mixed_zoo, layout=last)
    with pytest.raises(ValueError, match=rf"layout is {last + 1}; .* 0 to {last}"):
        fit_data(mixed_zoo, layout=last + 1)


def test_training_networks_cannot_be_left_away(small_zoo):
    with pytest.raises(ValueError, match=r"FitData\.training is empty; give it .* layout .*only FitData\.validation"):
        FitData(training=(), validation=(), dataset=small_zoo.dataset())
