"""What the user sees while a verb runs, and how results are laid out."""

import re

import pytest

from cluster import display
from cluster.display import columns, human_number, human_seconds, live


@pytest.fixture
def progress(monkeypatch):
    """A function that tells a bar, at a time, how much is done; returns the words behind it."""
    clock, seen = [0.0], []
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(display.Progress, "update", lambda *_, note, **__: seen.append(note))
    with live("work", 20, "shards") as task:

        def tell(seconds, done, under_way=0.0):
            clock[0] = seconds
            task.update(done, under_way=under_way)
            return seen[-1]

        yield tell


def seconds_left(words):
    return int(re.search(r"(\d+) s left", words)[1])


def test_the_rate_counts_from_the_beginning(progress):
    assert "left" not in progress(5, 0)
    assert progress(10, 2) == "2/20 shards · 5 s each · 90 s left"
    assert progress(15, 3) == "3/20 shards · 5 s each · 85 s left"


def test_nothing_is_said_to_be_left_once_the_last_pieces_are_overdue(progress):
    assert progress(19, 19).endswith("1 s left")
    assert progress(60, 19) == "19/20 shards · 1/s"


def test_pieces_that_end_together_do_not_make_the_rate_larger(progress):
    progress(400, 8)
    assert progress(404, 16).endswith("25.2 s each · 101 s left")


def test_what_is_left_never_grows_while_waiting(progress):
    for seconds, done in ((80, 8), (90, 9), (100, 10)):
        words = progress(seconds, done)
    left = [seconds_left(words), *(seconds_left(progress(100 + waited, 10)) for waited in (2, 5, 9, 35, 60, 600))]
    assert left[:4] == [100, 98, 95, 91]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 67, "what is not done yet still takes its time"


def test_what_is_under_way_counts_before_it_is_finished(progress):
    assert progress(0, 0, 0.0) == "0/20 shards"
    assert progress(100, 0, 2.0) == "0/20 shards · 10 % · 50 s each · 15 min 0 s left"
    assert progress(200, 3, 1.0) == "3/20 shards · 20 % · 50 s each · 13 min 20 s left"


def test_work_that_is_lost_on_the_way_leaves_the_rate_as_it_was(progress):
    progress(100, 0, 5.0)
    assert progress(120, 0, 1.0).startswith("0/20 shards · 5 % · 20 s each")


def test_columns_stand_below_each_other():
    assert columns([("a", "bcd", "e f"), ("long", "x", "")]) == "a     bcd  e f\nlong  x"


def test_long_times_are_days():
    assert human_seconds(90 * 86400) == "90 days"
    assert human_seconds(3 * 3600) == "3 h 0 min"


def test_numbers_have_no_power_of_ten_where_they_are_not_small():
    shown = [human_number(value) for value in (35590.4, 1000, 999.94, 0.64021, -0.5208, 3.2e-7, 0)]
    assert shown == ["35,590", "1,000", "999.9", "0.6402", "-0.5208", "3.2e-07", "0"]
