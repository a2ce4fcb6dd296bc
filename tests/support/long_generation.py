"""A generation that takes a while: ten lives of a group of workers do not end it, on a fast machine too."""

import sys

from patience import wait

from cluster.verbs.generate import chosen_recipe

MEMBERS, SHARD_MEMBERS, EPOCHS = 640, 16, 60
OPTIONS = ["--members", str(MEMBERS), "--epochs", str(EPOCHS), "--set", f"shard_members={SHARD_MEMBERS}"]
RECIPE = chosen_recipe("digits-mlp-diverse", {"members": MEMBERS, "epochs": EPOCHS}, [f"shard_members={SHARD_MEMBERS}"])


def command(store, *options):
    """The command of it, word by word."""
    return [
        sys.executable, "-m", "cluster", "generate", "digits-mlp-diverse", *OPTIONS, "--store", str(store), *options
    ]  # fmt: skip


def wait_for_shards(driver, shards, number):
    """Waits until a running generation has written so many shards."""
    if not wait(lambda: driver.poll() is not None or len(list(shards.rglob("*.parquet"))) >= number, 0.02):
        driver.kill()
        driver.wait()
    assert driver.poll() is None, driver.stderr.read()
