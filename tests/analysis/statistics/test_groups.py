"""Members to measure are of as many minibatch orders as there are; what is said of intervals."""

import dataclasses

import numpy as np
import pytest

from analysis.analyze import analyze
from analysis.report.page import render
from analysis.statistics.groups import chosen_members, evenly_spaced, orders_differ, words
from analysis.statistics.intervals import Bootstrap
from zoo.generation.build import generate_zoo
from zoo.storage.store import Store

BLOCK = 16


@pytest.fixture(scope="module")
def zoo(small_recipe, tmp_path_factory):
    """512 members in blocks of 16: four blocks of test members."""
    recipe = dataclasses.replace(
        small_recipe,
        name="blocks",
        members=512,
        epochs=1,
        snapshot_epochs=(0, 1),
        block_members=BLOCK,
        shard_members=64,
    )
    return generate_zoo(recipe, Store(tmp_path_factory.mktemp("blocks")))


def test_few_members_are_of_as_many_groups_as_there_are(zoo):
    every = chosen_members(zoo, None)
    blocks = {member // BLOCK for member in every}
    assert len(blocks) > 2
    for count in (1, 2, len(blocks), 16, 40):
        some = chosen_members(zoo, count)
        in_blocks = np.bincount([member // BLOCK for member in some], minlength=max(blocks) + 1)
        assert len(some) == count
        assert (in_blocks > 0).sum() == min(count, len(blocks))
        assert np.ptp(in_blocks[sorted(blocks)]) <= 1, "as many of each"
        assert set(some) <= set(chosen_members(zoo, count + 1)) <= set(every)
        assert some == chosen_members(zoo, count) == tuple(sorted(some))


def test_members_of_one_group_have_no_interval_and_the_page_says_so(zoo):
    options = {"codecs": ["uniform"], "bootstrap": Bootstrap(replicates=30)}
    analysis = analyze(zoo, members=1, **options)
    assert all(measured.low is None for result in analysis.results for measured in result.metrics.values())
    assert {result.groups for result in analysis.results} == {1}
    assert "There are no intervals" in render(analysis)
    analysis = analyze(zoo, members=8, **options)
    found = analysis.results[0]
    assert (found.members, found.groups) == (8, analysis.summary["test_groups"])
    assert found.metrics["agreement"].low < found.metrics["agreement"].estimate < found.metrics["agreement"].high
    said = f"by groups of members that share a minibatch order: 8 networks measured, of {found.groups} groups"
    assert said in analysis.summary["intervals"]
    assert said in render(analysis)


def test_where_all_share_one_order_members_are_independent(small_recipe, tmp_path):
    axes = {**small_recipe.axes, "order_seed": 7}
    zoo = generate_zoo(dataclasses.replace(small_recipe, name="one-order", axes=axes), Store(tmp_path))
    assert not orders_differ(zoo)
    analysis = analyze(zoo, codecs=["uniform"], members=6, bootstrap=Bootstrap(replicates=30))
    assert analysis.results[0].groups == 6
    assert analysis.results[0].metrics["agreement"].low is not None
    assert "nothing is said of other orders" in analysis.summary["intervals"]
    assert "by minibatch order" not in (page := render(analysis)), "they are no groups"
    assert "two trials" not in page
    assert "trials are the best" not in page, "there was no search"


def test_words_tell_groups_and_seeds():
    assert "wide (Student's t)" in words(64, 4, 1, grouped=True)
    assert "Student" not in words(300, 15, 1, grouped=True)
    assert "300 networks measured, of 15 groups" in words(300, 15, 3, grouped=True)
    assert "of 3 fits with other seeds" in words(300, 15, 3, grouped=True)
    assert "were trained in one minibatch order" in words(300, 300, 1, grouped=False)
    assert "in the same minibatch order is not known" in words(300, 300, 1, grouped=False, known=False)
    assert "each was fitted once" in words(300, 15, 1, grouped=True)


def test_evenly_spaced_numbers():
    assert evenly_spaced(100, 5) == [0, 25, 50, 74, 99]
    assert evenly_spaced(3, 5) == [0, 1, 2]
    assert evenly_spaced(0, 5) == []
