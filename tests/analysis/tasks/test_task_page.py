"""The page of task embeddings."""

import re

import numpy as np
import pytest

from analysis.tasks.page import render
from trainables.tasks.config import Task2VecConfig
from trainables.tasks.embeddings import EmbeddedTask, TaskEmbeddings
from trainables.tasks.heads import Head


def made_up(count: int) -> TaskEmbeddings:
    generator = np.random.default_rng(0)
    tasks = tuple(
        EmbeddedTask(dataset=f"<b>set</b> {row % 2}", task=f"{row}-rest", classes=2, examples=10, validation_error=0.1)
        for row in range(count)
    )
    values = np.exp(generator.normal(size=(count, 8))).astype(np.float32)
    heads = (Head(np.zeros((2, 3)), np.zeros(2)),) * count
    return TaskEmbeddings(
        tasks, values + 1e-3, np.full(8, 1e-3), heads, {"0": 8}, ("probe", "0" * 64), Task2VecConfig()
    )


def test_the_page_has_map_distances_difficulty_and_every_task():
    found = made_up(6)
    page = render(found, np.linspace(0, 0.5, 6), command="zooscale tasks mine:data")
    for name in ("map", "distances", "difficulty"):
        assert f'data-figure="{name}"' in page
    assert "zooscale tasks mine:data" in page
    assert "nearest in group" in page
    assert "<b>set</b> 0:0-rest" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert all(f":{row}-rest" in page for row in range(6))


def test_groups_of_the_users_are_what_distances_are_compared_with():
    found = made_up(4)
    alone = render(found, np.zeros(4), {name: name for name in found.names})
    assert (
        "nearest in group"
        not in re.sub(r"<dl.*", "", alone, flags=re.DOTALL).split("What distances agree with")[-1][:600]
    )
    assert "rank correlation with error" in alone


def test_many_tasks_have_no_heat_map():
    found = made_up(130)
    assert 'data-figure="distances"' not in render(found, np.zeros(130))


def test_one_task_has_no_page():
    with pytest.raises(ValueError, match="a page compares tasks; embed two or more"):
        render(made_up(1), np.zeros(1))
