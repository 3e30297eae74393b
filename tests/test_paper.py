"""The paper's study: what it would run, listed where no network may be asked."""

import subprocess
import sys
from collections import Counter

import pytest
from workflow_copy import Study, copy_workflow, started_jobs

# Python imports it at its start: a connection is an error that no library can take for a timeout.
NO_NETWORK = """
import socket

def refuse(self, address, *_):
    if self.family != socket.AF_UNIX:
        raise SystemExit(f"a connection to {address} was opened")

socket.socket.connect = socket.socket.connect_ex = refuse
"""


@pytest.fixture(scope="module")
def paper(root, tmp_path_factory):
    """A fresh folder with the shipped config.yaml, in which nothing has been fetched."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "config.yaml").write_text((root / "config.yaml").read_text())
    return Study(copy_workflow(root, tmp_path_factory.mktemp("workflow")), folder)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("HALFSEEN_DATA", raising=False)


def test_a_connection_would_be_noticed(no_network):
    code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "a connection to ('127.0.0.1', 9) was opened" in done.stderr


def test_its_jobs_are_listed_without_a_network(paper, no_network):
    jobs = started_jobs(paper.run("--dry-run", "--config", "study=paper"))
    expected = dict(
        fetch_archive=4, fetch_dataset=4, write_manifest=4, build_shard=104, assess_masks=4,
        fetch_weights=11, extract_features=20, fit_probes=20, measure_similarity=20,
        count_neighbors=20, embed_umap=4, compare_probes=4, compare_models=4,
        gather_tables=1, write_table1=1, judge_claims=1, compare_with_paper=1, summarise_masks=1,
        write_table1_passing=1, plot_mask_quality=1, plot_mask_examples=4,
        summarise_datasets=1, plot_variants=1, plot_similarity=2, plot_transfer=2,
        plot_model_map=1, plot_component_curves=1, plot_additivity=1,
        plot_neighbors=1, make_atlas=1, make_report=1, all=1,
    )  # fmt: skip
    assert jobs == Counter(expected)


def test_its_parts_name_the_variable_that_is_not_set(paper, no_network):
    target = "results/manifests/dtd_subset.csv"
    output = paper.run("--config", "study=paper_subset", "--", target, expect_success=False)
    assert "HALFSEEN_DATA" in output
