"""Archives, data sets and weights through Snakemake itself, from a server on the loopback."""

import hashlib
import io
import re
import tarfile
from collections import Counter

import pytest
import yaml
from killed import killing
from workflow_copy import Study, copy_workflow, started_jobs

WEIGHTS = b"not a network, but fetched like one" * 100


def targets(study):
    """The data set and the weights."""
    return [study.path("datasets", "folder", dataset="tiny"), "results/weights/tiny.ckpt"]


def archive_of(picture):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        info = tarfile.TarInfo("set/a/1.png")
        info.size = len(picture)
        archive.addfile(info, io.BytesIO(picture))
    return written.getvalue()


ARCHIVE = archive_of(b"a picture" * 9)


def hashes(content):
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}


@pytest.fixture(scope="module")
def workflow(root, tmp_path_factory):
    """A copy of the workflow, in which the kind `folder` may name archives too."""
    workflow = copy_workflow(root, tmp_path_factory.mktemp("workflow"))
    path = workflow / "workflow/schemas/config.schema.yaml"
    schema = yaml.safe_load(path.read_text())
    for kind in schema["properties"]["datasets"]["additionalProperties"]["allOf"]:
        if kind["if"]["properties"]["kind"] == {"const": "folder"}:
            names = {"type": "array", "items": {"type": "string", "table": "archives"}}
            kind["then"]["properties"]["archives"] = names
            kind["then"]["required"].remove("root")
    path.write_text(yaml.safe_dump(schema))
    return workflow


@pytest.fixture
def new_study(root, site, workflow, tmp_path):
    """A function that makes a fresh folder with a study whose files come from the site."""
    site.add("wrong.tar.gz", ARCHIVE[::-1])
    site.add("set.tar.gz", ARCHIVE)
    site.add("tiny.pt", WEIGHTS)

    def make(name, **settings):
        config = yaml.safe_load((root / "tests/study/config.yaml").read_text())
        row = dict(label="Tiny", kind="folder", segmenter="mobile_sam", prompt="box")
        config["datasets"]["tiny"] = row | {"archives": ["tiny_set"]}
        config["studies"]["minute"]["datasets"] = ["tiny"]
        urls = [
            {"url": f"{site.address}/{file}"} for file in ("gone", "wrong.tar.gz", "set.tar.gz")
        ]
        one = dict(file="set.tar.gz", licence="none", sources=urls, into="pictures")
        config["archives"] = {"tiny_set": one | hashes(ARCHIVE)}
        sources = [{"url": f"{site.address}/tiny.pt"}]
        weights = dict(file="tiny.pt", licence="none", sources=sources, **hashes(WEIGHTS))
        config["weights"]["tiny"] = weights
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(config | settings))
        return Study(workflow, folder)

    return make


def test_files_are_fetched_unpacked_and_never_asked_for_again(site, new_study):
    study = new_study("first")
    assert started_jobs(study.run("--dry-run", *targets(study))) == Counter(
        fetch_archive=1, fetch_dataset=1, fetch_weights=1
    )
    assert site.requests == 0
    study.run(*targets(study))
    results = study.folder / "results"
    assert (
        study.folder / targets(study)[0] / "pictures/set/a/1.png"
    ).read_bytes() == b"a picture" * 9
    assert (results / "weights/tiny.ckpt").read_bytes() == WEIGHTS
    record = yaml.safe_load((results / "archives/tiny_set.yaml").read_text())
    assert record["source"] == f"{site.address}/set.tar.gz"
    log = (results / "logs/fetch_archive/tiny_set.log").read_text()
    assert f"{site.address}/gone answered 404" in log
    assert f"{site.address}/wrong.tar.gz: delivered other bytes" in log
    assert site.requests == 4

    assert "Nothing to be done" in study.run(*targets(study))
    # another folder and no network are other ways to the same bytes, and so is another mirror
    study.edit_config(lambda config: config.update(local_folder="elsewhere", offline=True))
    study.edit_config(lambda config: config["weights"]["tiny"]["sources"].reverse())
    assert "Nothing to be done" in study.run(*targets(study))
    assert site.requests == 4


def test_a_file_that_is_fetched_again_hides_nothing_that_depends_on_it(site, new_study):
    study = new_study("hidden")
    study.run("results/archives/tiny_set.archive")
    # the same bytes, by another promise: fetched, so verified, anew, and unpacked in the same run
    md5 = hashlib.md5(ARCHIVE).hexdigest()
    study.edit_config(lambda config: config["archives"]["tiny_set"].update(md5=md5))
    assert study.jobs(*targets(study)) == Counter(fetch_archive=1, fetch_dataset=1, fetch_weights=1)


def test_another_archive_is_fetched_and_unpacked_anew_and_a_damaged_one_is_named(site, new_study):
    study = new_study("second")
    study.run(*targets(study))
    other = archive_of(b"another picture")
    site["set.tar.gz"].content, site["set.tar.gz"].etag = other, '"v2"'
    study.edit_config(lambda config: config["archives"]["tiny_set"].update(hashes(other)))
    assert study.jobs(*targets(study)) == Counter(fetch_archive=1, fetch_dataset=1)
    picture = study.folder / targets(study)[0] / "pictures/set/a/1.png"
    assert picture.read_bytes() == b"another picture"

    archive = study.folder / "results/archives/tiny_set.archive"
    archive.write_bytes(ARCHIVE)
    output = study.run("--forcerun", "fetch_dataset", "--", *targets(study), expect_success=False)
    assert "tiny_set.archive has sha256" in output
    assert not (study.folder / targets(study)[0]).exists()
    archive.unlink()
    assert study.jobs(*targets(study)) == Counter(fetch_archive=1, fetch_dataset=1)
    assert picture.read_bytes() == b"another picture"


def test_an_unpacking_that_is_killed_leaves_nothing_that_looks_finished(new_study, tmp_path):
    study = new_study("killed")
    folder = targets(study)[0]
    output = study.run(folder, expect_success=False, **killing(tmp_path, "fetch_dataset"))
    assert "Error in rule fetch_dataset" in output
    assert not (study.folder / folder).exists()
    study.run(folder)
    assert (study.folder / folder / "pictures/set/a/1.png").read_bytes() == b"a picture" * 9


def test_a_hash_that_nobody_knows_stops_a_run_and_the_command_that_it_prints_goes_on(new_study):
    study = new_study("unknown")

    def forget(config):
        config["archives"]["tiny_set"]["sha256"] = None
        del config["archives"]["tiny_set"]["sources"][:2]

    study.edit_config(forget)
    folder = targets(study)[0]
    assert started_jobs(study.run("--dry-run", folder)) == Counter(fetch_archive=1, fetch_dataset=1)
    output = study.run(folder, expect_success=False)
    assert "No hash is known of 1 file(s)" in output
    assert started_jobs(output) == Counter()
    arguments = re.search(r"snakemake --cores 1 (--config study=minute -- .*)", output)[1]
    lock = study.workflow / "workflow/resources/archives.lock.yaml"
    try:
        study.run(*arguments.split())
        assert yaml.safe_load(lock.read_text())["tiny_set"]["sha256"] == hashes(ARCHIVE)["sha256"]
        output = study.run("--until", "fetch_dataset", "write_manifest", expect_success=False)
        assert "No hash is known" not in output
        assert "Finished jobid: " in output
    finally:
        lock.unlink(missing_ok=True)


def test_offline_names_all_that_is_missing_before_anything_starts(site, new_study):
    study = new_study("third", offline=True)
    output = study.run(*targets(study), expect_success=False)
    assert "2 file(s) of this run may not be asked for over the network" in output
    for content, file in ((ARCHIVE, "set.tar.gz"), (WEIGHTS, "tiny.pt")):
        told = f"{file} (sha256 {hashes(content)['sha256']}, {len(content)} bytes)"
        assert told in output
        assert re.search(rf"\n\s*{site.address}/{file}\n", output)
        assert f"put the file {file} into the folder set as local_folder in config.yaml" in output
    assert started_jobs(output) == Counter()
    study.run("--dry-run", *targets(study))
    assert not (study.folder / "results").exists()

    (study.folder / "weights").mkdir()
    for content, file in ((ARCHIVE, "set.tar.gz"), (WEIGHTS, "tiny.pt")):
        (study.folder / "weights" / file).write_bytes(content)
    study.run(*targets(study))
    assert (study.folder / targets(study)[0] / "pictures/set/a/1.png").is_file()
    assert site.requests == 0


def test_a_gated_file_stops_a_run_before_anything_starts(site, new_study):
    study = new_study("fourth")
    gated = "Accept the licence at https://example.org/tiny"
    study.edit_config(lambda config: config["weights"]["tiny"].update(gated=gated))
    output = study.run(*targets(study), expect_success=False)
    assert f"{gated}; then put the file tiny.pt into the folder" in output
    assert "set.tar.gz" not in output
    assert (started_jobs(output), site.requests) == (Counter(), 0)
