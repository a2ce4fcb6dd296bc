"""Tasks and subsets: what a member sees of a data set."""

import numpy as np
import pytest
import torch

from zoo.data import load_dataset
from zoo.data.class_tasks import REST, one_vs_rest, parse_task, select, task_labels
from zoo.data.examples import Examples
from zoo.population import Member
from zoo.training.grouping import example_count, minibatches, training_examples


@pytest.fixture(scope="module")
def digits() -> Examples:
    return load_dataset("digits").train


def test_a_task_has_its_classes_only_and_labels_in_their_order(digits):
    images = select("3-8", digits)
    rows = torch.isin(digits.targets, torch.tensor([3, 8]))
    assert torch.equal(images.values, digits.values[rows])
    assert torch.equal(images.targets, (digits.targets[rows] == 8).long())


def test_a_reversed_task_has_the_same_images_with_the_other_labels(digits):
    forward, backward = select("3-8", digits), select("8-3", digits)
    assert torch.equal(forward.values, backward.values)
    assert torch.equal(forward.targets, 1 - backward.targets)


def test_the_empty_task_is_the_whole_data_set(digits):
    assert parse_task("") == ()
    assert select("", digits) is digits
    assert torch.equal(task_labels("", digits.targets), digits.targets)


def test_tasks_may_have_more_than_two_classes(digits):
    images = select("9-0-4", digits)
    assert sorted(images.targets.unique().tolist()) == [0, 1, 2]
    assert int((images.targets == 0).sum()) == int((digits.targets == 9).sum())


def test_one_class_against_the_rest(digits):
    assert parse_task("3-rest") == (3, REST)
    images = select("3-rest", digits)
    assert len(images) == len(digits)
    assert torch.equal(images.targets, (digits.targets != 3).long())
    assert select("3-8-rest", digits).targets.unique().tolist() == [0, 1, 2]
    assert one_vs_rest(2) == ["0-rest", "1-rest"]
    assert example_count(Member(id=0, seed=0, task="3-rest"), digits) == len(digits)


def test_classes_that_follow_one_another(digits):
    assert parse_task("2-to-5") == (2, 3, 4, 5)
    assert torch.equal(task_labels("2-to-5", digits.targets), task_labels("2-3-4-5", digits.targets))


@pytest.mark.parametrize("task", ["2-to-3", "5-to-2", "2-to-", "to-4", "2-to-x", "2-to-5-rest", "0-to-99999999999"])
def test_ranges_that_are_none_are_refused(task):
    with pytest.raises(ValueError, match="follow one another, such as '12-to-15'"):
        parse_task(task)


@pytest.mark.parametrize(
    "task", ["rest", "rest-3", "3-rest-rest", "3", "3-3", "3-", "a-b", "3 - 8", "-1-2", "3-²", "3-03", "3-08"]
)
def test_what_is_no_task_is_refused(task):
    with pytest.raises(ValueError, match="allowed: '' for the whole data set"):
        Member(id=0, seed=0, task=task)


def test_a_task_without_images_is_refused(digits):
    with pytest.raises(ValueError, match="no image belongs to task '11-12'"):
        select("11-12", digits)
    with pytest.raises(ValueError, match="no training examples of class 11"):
        training_examples(Member(id=0, seed=0, task="3-11"), digits)


def test_the_pieces_of_one_subset_seed_are_disjoint_and_cover_all_that_they_can(digits):
    members = [Member(id=i, seed=i, subset_seed=7, subset_size=100, subset_index=i) for i in range(9)]
    pieces = [training_examples(member, digits) for member in members]
    assert {len(piece) for piece in pieces} == {100}
    assert len(np.unique(np.concatenate(pieces))) == 900
    again = Member(id=9, seed=9, subset_seed=7, subset_size=100, subset_index=3)
    assert np.array_equal(training_examples(again, digits), pieces[3])


def test_a_piece_beyond_the_data_is_refused(digits):
    member = Member(id=0, seed=0, subset_size=100, subset_index=9)
    with pytest.raises(ValueError, match="subset_index is 9; allowed: 0 to 8, since 997 training examples have 9"):
        training_examples(member, digits)


def test_subsets_and_fractions_of_a_task_stay_in_it(digits):
    for member in (
        Member(id=0, seed=0, task="1-7", subset_size=20, subset_index=2),
        Member(id=0, seed=0, task="1-7", training_fraction=0.5),
    ):
        rows = training_examples(member, digits)
        assert len(rows) == len(np.unique(rows)) == example_count(member, digits)
        assert set(digits.targets[rows].tolist()) == {1, 7}


def test_an_epoch_goes_through_the_examples_once(digits):
    member = Member(id=0, seed=0, task="1-7", training_fraction=0.5, batch_size=8)
    rows = training_examples(member, digits)
    batches = minibatches(member, rows, 1)
    assert batches.shape == (len(rows) // 8, 8)
    assert len(np.unique(batches)) == batches.size
    assert set(batches.flatten()) <= set(rows)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"subset_size": -1}, "subset_size is -1; allowed: a whole number"),
        ({"subset_size": 10, "training_fraction": 0.5}, "training_fraction is 0.5; allowed: 1 where"),
        ({"subset_index": 1}, "subset_index is 1; allowed: 0 where"),
    ],
)
def test_subsets_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Member(id=0, seed=0, **fields)
