"""Object storage goes away while workers generate a zoo."""

import json
import subprocess
import sys
import time

import pytest
from long_generation import command, wait_for_shards
from object_storage import BUCKET, SECRET, Rclone, credentials, needs_rclone
from patience import PATIENCE_S
from ray_environment import environment


@pytest.mark.slow
@needs_rclone
def test_command_on_object_storage_that_is_away_for_a_moment(serial, tmp_path):
    """Generation, its resumption and every look at its zoo, with a server that is killed during the first run."""
    server = Rclone(tmp_path / "data")
    uri = f"s3://{BUCKET}/deep/store"
    shards = server.folder / BUCKET / "deep" / "store" / "zoos" / serial.name / "shards"
    environ = {**environment(tmp_path), **credentials(server.url)}
    driver = subprocess.Popen(
        command(uri, "--workers", "2", "--json"),
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for_shards(driver, shards, 2)
        server.kill()
        time.sleep(3)
        assert len(list(shards.glob("*.parquet"))) < len(serial.manifest.shards), "the zoo was finished before the kill"
        server.start()
        out, words = driver.communicate(timeout=PATIENCE_S)
        assert driver.returncode == 0, words
        assert json.loads(out)["content_sha256"] == serial.content_sha256
        assert words.count("let one `zooscale generate` at a time") == 1
        assert f"s3://{BUCKET}" not in words.replace(uri, ""), words
        for verb, wanted in (("list", f'"zoo": "{serial.name}"'), ("verify", '"findings": []')):
            arguments = [serial.name] if verb == "verify" else []
            done = subprocess.run(
                [sys.executable, "-m", "cluster", verb, *arguments, "--store", uri, "--json"],
                env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert wanted in done.stdout
        (staged,) = (server.folder / BUCKET / "deep" / "store" / "data").iterdir()
        assert staged.name.startswith("digits-")
    finally:
        driver.kill()
        server.kill()


@pytest.mark.slow
@needs_rclone
def test_object_storage_that_stays_away_is_one_clear_error(tmp_path):
    server = Rclone(tmp_path / "data")
    shards = server.folder / BUCKET / "store" / "zoos"
    environ = {**environment(tmp_path), **credentials(server.url), "ZOOSCALE_PATIENCE_S": "2"}
    driver = subprocess.Popen(
        command(f"s3://{BUCKET}/store", "--workers", "2"), env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for_shards(driver, shards, 1)
        server.kill()
        _, words = driver.communicate(timeout=PATIENCE_S)
    finally:
        driver.kill()
        server.kill()
    assert driver.returncode == 2
    last = words.splitlines()[-1]
    assert last.startswith("zooscale: training stopped: cannot write s3://")
    assert f"{server.url} does not answer" in last
    assert "Traceback" not in words
    assert SECRET not in words
