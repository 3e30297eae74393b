"""Extraction by several jobs, through Snakemake: the same bytes, and after a kill what is left."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from workflow_copy import Study

PATIENCE_S = 90


@pytest.fixture(scope="module")
def study(root, tmp_path_factory):
    """The study of a minute with masks that are given and batches of 8: three of 24 images."""
    folder = tmp_path_factory.mktemp("parts")
    shutil.copy(root / "tests/study/config.yaml", folder)
    study = Study(root, folder)

    def ask_for_no_network(config):
        config["segmenters"]["given"] = {"label": "Given", "kind": "given"}
        config["datasets"]["emoji_scenes"]["segmenter"] = "given"
        config["models"]["image_statistics"]["batch_size"] = 8

    study.edit_config(ask_for_no_network)
    return study


def set_parts(study, n_parts):
    study.edit_config(
        lambda config: config["datasets"]["emoji_scenes"].update(extraction_shards=n_parts)
    )


def features_of(study):
    return study.path("features", "features", dataset="emoji_scenes", model="image_statistics")


# The second builds on the results of the first.
def test_a_killed_run_repeats_only_the_parts_that_were_not_done(study):
    set_parts(study, 3)
    features = features_of(study)
    logs = study.folder / "results/logs/extract_part/emoji_scenes"
    command = study.command(features, "--cores", "1")
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as running:
        began = time.monotonic()
        while len(list(logs.glob("*.log"))) < 2:
            assert running.poll() is None
            assert time.monotonic() - began < PATIENCE_S
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
    study.run("--unlock")
    assert study.jobs(features) == {"extract_part": 2, "gather_features": 1}
    assert "Nothing to be done" in study.run(features)
    assert list((study.folder / features).parent.glob("*of*.h5")) == []


def test_one_job_leaves_the_same_bytes_and_another_number_of_jobs_makes_nothing_anew(study):
    features = features_of(study)
    gathered = (study.folder / features).read_bytes()
    for n_parts in (2, 4, 1):
        set_parts(study, n_parts)
        assert "Nothing to be done" in study.run("--dry-run", features)
    (study.folder / features).unlink()
    assert study.jobs(features) == {"extract_features": 1}
    assert (study.folder / features).read_bytes() == gathered
