"""Words that messages of all rooms share."""

import shlex

from zoo.words import counted, nearest, zooscale


def test_one_thing_is_not_several():
    assert counted(1, "shard") == "1 shard"
    assert counted(0, "shard") == "0 shards"
    assert counted(2000, "shard") == "2,000 shards"
    assert (counted(1, "study", "studies"), counted(2, "study", "studies")) == ("1 study", "2 studies")


def test_suggested_commands_can_be_pasted():
    command = zooscale("data", "mnist", "--store", "/tmp/my store/it's")
    assert shlex.split(command) == ["zooscale", "data", "mnist", "--store", "/tmp/my store/it's"]
    assert zooscale("generate", "digits-tasks", "--members", 3) == "zooscale generate digits-tasks --members 3"


def test_a_name_that_is_nearly_right_is_suggested():
    assert nearest("unifrom", ["uniform", "kmeans"]) == "did you mean 'uniform'? "
    assert nearest("zip", ["uniform", "kmeans"]) == ""
