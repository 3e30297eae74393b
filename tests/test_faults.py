"""Nothing stale is ever used: after a kill, a failure, a changed row, a changed folder, in turn."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from killed import killing
from PIL import Image
from workflow_copy import Study, copy_workflow

from halfseen.study.artifacts import RULES

HALF = [0.5] * 3
RESNET = dict(label="Net", loader="timm", name="test_resnet", pooling="average")
NAMES = {"dataset": "mine", "model": "net"}


def draw_folder(folder, n=6):
    """Two classes of n pictures each, with masks, as a user has them."""
    rng = np.random.default_rng(0)
    for name in ("round", "square"):
        for number in range(n):
            mask = np.pad(np.full((24, 24), 255, np.uint8), 20)
            for parent, pixels in (
                (folder / name, rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)),
                (folder / "masks" / name, mask),
            ):
                parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(parent / f"{number}.png")


def configure(config, root):
    """Let a configuration be of a user's folder with masks, and of a small network."""
    masks = dict(segmenter="given", prompt="box", shards=1, near_duplicates=False)
    config["datasets"] = {"mine": dict(label="Mine", kind="folder", root=str(root), **masks)}
    config["segmenters"] = {"given": {"label": "Given", "kind": "given"}}
    config["models"]["net"] = RESNET | {"mean": HALF, "std": HALF}
    config["studies"]["minute"] |= {"datasets": ["mine"], "models": ["net"]}
    config["umap"] = {"share": 1, "at_least": 4, "n_neighbors": 3, "seeds": [0]}
    config["neighbors"] = {"k": [2], "metrics": ["cosine"]}


@pytest.fixture(scope="module")
def workflow(root, tmp_path_factory):
    return copy_workflow(root, tmp_path_factory.mktemp("workflow"))


@pytest.fixture(scope="module")
def new_study(root, workflow, tmp_path_factory):
    """A function that makes a study of a folder of a user's own, in a folder of its own."""

    def make(change=None):
        folder = tmp_path_factory.mktemp("study")
        draw_folder(folder / "pictures")
        shutil.copy(root / "tests/study/config.yaml", folder)
        study = Study(workflow, folder)
        study.edit_config(lambda config: configure(config, folder / "pictures"))
        if change:
            study.edit_config(change)
        return study

    return make


def keyed(study):
    """The paths of every keyed file that the study needs now, but for records."""
    made = [each for each in study.configured().artifacts() if each.stage != "datasets"]
    return [path for each in made for name, path in each.paths.items() if name != "record"]


def contents(study):
    """What the keyed files of a study hold, by path from its folder on: bytes, or features."""
    found = {}
    for path in keyed(study):
        name = path.removeprefix(str(study.folder))
        if "/features/" in path:
            found[name] = contents_of_features(path)
        else:
            found[name] = Path(path).read_bytes()
    return found


def targets(study):
    """All keyed files of the study, as words for Snakemake."""
    return [path.removeprefix(f"{study.folder}/") for path in keyed(study)]


def another_seed(config):
    """A change that everything is made anew for."""
    config.update(seed=8)


# Snakemake ends a job that fails, and what it had written, so every other stage begins anew.
def test_a_kill_in_any_stage_after_a_changed_row_leaves_what_an_undisturbed_run_leaves(new_study):
    study = new_study()
    study.run(*targets(study))
    first = contents(study)
    study.edit_config(another_seed)
    for stage in (stage for stage in RULES if stage != "datasets"):
        (made,) = study.configured().of_stage(stage)
        path = made.path("record").removeprefix(f"{study.folder}/")
        # Before its last file, the record; all others have their names by then.
        deadly = killing(study.folder, RULES[stage], len(made.paths))
        assert f"Error in rule {RULES[stage]}" in study.run(path, expect_success=False, **deadly)
        study.run(path)
    study.run(*targets(study))
    undisturbed = new_study(another_seed)
    shutil.rmtree(undisturbed.folder / "pictures")
    shutil.copytree(study.folder / "pictures", undisturbed.folder / "pictures")
    undisturbed.run(*targets(undisturbed))
    assert contents(study) == contents(undisturbed)
    # What was made before is still there, under its own names, and going back makes nothing anew.
    study.edit_config(lambda config: config.update(seed=7))
    assert "Nothing to be done" in study.run(*targets(study))
    assert contents(study) == first


def test_a_kill_of_a_part_or_of_what_gathers_them_leaves_what_one_job_leaves(new_study):
    study = new_study(lambda config: config["models"]["net"].update(batch_size=4))
    whole = study.path("features", "features", **NAMES)
    study.run(whole)
    expected = contents_of_features(study.folder / whole)
    (study.folder / whole).unlink()
    study.edit_config(lambda config: config["datasets"]["mine"].update(extraction_shards=2))
    for rule in ("extract_part", "gather_features"):
        output = study.run(whole, expect_success=False, **killing(study.folder, rule))
        assert f"Error in rule {rule}" in output
        assert not (study.folder / whole).exists()
    study.run(whole)
    assert contents_of_features(study.folder / whole) == expected


def contents_of_features(path):
    with h5py.File(path) as file:
        return {variant: file[variant]["features"][:].tobytes() for variant in file}


def test_a_changed_network_whose_job_is_killed_is_not_shown_under_the_old_numbers(new_study):
    study = new_study()
    table = study.path("probes", "table", **NAMES)
    study.run(table)
    before = (study.folder / table).read_bytes()
    study.edit_config(lambda config: config["models"]["net"].update(name="test_byobnet"))
    other = study.path("probes", "table", **NAMES)
    told = "net: other network (test_resnet before, test_byobnet now); 5 variants of mine\n"
    assert told in study.run("--dry-run", other)
    output = study.run(other, expect_success=False, **killing(study.folder, "extract_features"))
    assert told in output
    assert not (study.folder / other).exists()
    assert study.jobs(other) == {"extract_features": 1, "fit_probes": 1}
    assert (study.folder / other).read_bytes() != before
    study.edit_config(lambda config: config["models"]["net"].update(name="test_resnet"))
    assert "Nothing to be done" in study.run(table)
    assert (study.folder / table).read_bytes() == before


def test_new_masks_and_a_failed_extraction_leave_no_old_features_in_use(new_study):
    study = new_study()
    table = study.path("probes", "table", **NAMES)
    study.run(table)
    with h5py.File(study.folder / study.path("features", "features", **NAMES)) as file:
        old = {name: file[name]["features"][:] for name in file}
    for path in (study.folder / "pictures/masks").rglob("*.png"):
        mask = np.zeros((64, 64), np.uint8)
        mask[:30, :40] = 255
        Image.fromarray(mask).save(path)
    after = study.path("probes", "table", **NAMES)
    assert after != table
    output = study.run(after, expect_success=False, **killing(study.folder, "extract_features"))
    assert "mine: files changed in its folder" in output
    assert study.jobs("--dry-run", after) == {"extract_features": 1, "fit_probes": 1}
    study.run(after)
    with h5py.File(study.folder / study.path("features", "features", **NAMES)) as file:
        new = {name: file[name]["features"][:] for name in file}
    assert not np.allclose(new["foreground"], old["foreground"])
    assert np.array_equal(new["center"], old["center"])


def test_a_picture_that_changes_one_that_goes_and_a_new_class_are_noticed(new_study):
    study = new_study()
    manifest = study.path("manifests", "manifest", dataset="mine")
    study.run(manifest)
    assert "Nothing to be done" in study.run(manifest)
    pictures = study.folder / "pictures"
    Image.fromarray(np.full((64, 64, 3), 9, np.uint8)).save(pictures / "round/0.png")
    changed = study.path("manifests", "manifest", dataset="mine")
    (pictures / "square/5.png").unlink()
    fewer = study.path("manifests", "manifest", dataset="mine")
    shutil.copytree(pictures / "round", pictures / "triangle")
    more = study.path("manifests", "manifest", dataset="mine")
    assert len({manifest, changed, fewer, more}) == 4
    study.run(more)
    images = pd.read_csv(study.folder / more)
    assert sorted(images.label_name.value_counts().items()) == [
        ("round", 6), ("square", 5), ("triangle", 6),
    ]  # fmt: skip


def test_times_alone_make_nothing_anew(new_study):
    study = new_study()
    manifest = study.path("manifests", "manifest", dataset="mine")
    study.run(manifest)
    for path in (study.folder / "pictures").rglob("*.png"):
        path.touch()
    assert study.path("manifests", "manifest", dataset="mine") == manifest
    assert "Nothing to be done" in study.run(manifest)


def test_studies_of_one_data_set_do_not_write_over_each_other(new_study):
    study = new_study()

    def add_study(config):
        config["studies"]["other"] = config["studies"]["minute"] | {
            "title": "Other", "variants": ["original", "border"], "measures": ["procrustes"],
            "probes": ["paper"],
        }  # fmt: skip

    study.edit_config(add_study)
    first = targets(study)
    study.run(*first)
    before = contents(study)
    study.edit_config(lambda config: config.update(study="other"))
    second = targets(study)
    jobs = study.jobs(*second)
    # Masks are there, and of the features none is computed.
    assert jobs == {
        "extract_features": 1, "fit_probes": 1, "measure_similarity": 1, "count_neighbors": 1,
        "embed_umap": 1, "compare_probes": 1, "compare_models": 1,
    }  # fmt: skip
    log = max((study.folder / "results/logs/extract_features/mine").glob("net-*.log"),
              key=lambda path: path.stat().st_mtime)  # fmt: skip
    assert "computing none" in log.read_text()
    measured = pd.read_csv(study.folder / study.path("similarity", "table", **NAMES))
    assert set(measured.measure) == {"procrustes"}
    assert set(measured.variant_x) == {"original", "border"}
    study.edit_config(lambda config: config.update(study="minute"))
    assert "Nothing to be done" in study.run(*first)
    assert contents(study) == before


def test_the_whole_image_may_have_any_name(new_study):
    def rename(config):
        rows = config["variants"]
        config["variants"] = {"seen": rows.pop("original"), **rows}
        names = ["seen", "foreground", "background"]
        config["studies"]["minute"]["variants"] = names

    def as_usual(config):
        config["studies"]["minute"]["variants"] = ["original", "foreground", "background"]

    study, original = new_study(rename), new_study(as_usual)
    for name in ("curves", "sizes", "additivity"):
        tables = []
        for each in (study, original):
            path = each.path("similarity", name, **NAMES)
            if not (each.folder / path).exists():
                each.run(path)
            table = pd.read_csv(each.folder / path).replace("seen", "original")
            assert len(table) > 0
            tables.append(table)
        if name != "sizes":
            pd.testing.assert_frame_equal(*tables)


def test_a_file_of_another_key_is_refused_with_both_keys(new_study):
    study = new_study()
    features = study.path("features", "features", **NAMES)
    study.run(features)
    with h5py.File(study.folder / features, "a") as file:
        key, file.attrs["key"] = file.attrs["key"], 12 * "0"
    output = study.run(study.path("probes", "table", **NAMES), expect_success=False)
    assert f"its key is {12 * '0'}, {key} is expected; remove it and run again" in output
    record = study.folder / features.replace(".h5", ".json")
    record.write_text(record.read_text().replace(key, 12 * "1"))
    output = study.run(study.path("probes", "table", **NAMES), expect_success=False)
    assert f"its key is {12 * '1'}, {key} is expected" in output
    stale = features.replace(key, 12 * "2")
    output = study.run(stale, expect_success=False)
    assert f"under the key {12 * '2'} came from other parameters; now it is" in output


def test_a_folder_that_snakemake_cannot_run_from_is_refused_at_once(root, tmp_path):
    study = Study(copy_workflow(root, tmp_path / "mine {v2}"), tmp_path)
    shutil.copy(root / "tests/study/config.yaml", tmp_path)
    output = study.run("--dry-run", expect_success=False)
    assert "cannot run from a folder with braces in its path; move" in output


def test_rows_in_a_file_of_their_own_and_a_folder_of_any_name_make_a_whole_study(root, tmp_path):
    home = tmp_path / "My study (v2) 50% René's"
    home.mkdir()
    study = Study(copy_workflow(root, home / "half seen"), home)
    draw_folder(home / "pictures")
    shutil.copy(root / "tests/study/config.yaml", home)
    mine = study.config()
    configure(mine, home / "pictures")
    own = {"title": "Mine", "variants": ["original", "foreground", "background"]}
    mine["studies"] = {"mine": mine["studies"]["minute"] | own}
    tables = ("datasets", "segmenters", "models", "studies", "umap", "neighbors")
    rows = {name: mine[name] for name in tables} | {"folds": 4, "bootstrap": {"level": 0.9}}
    (home / "mine.yaml").write_text(yaml.safe_dump(rows))
    output = study.run("--configfile", home / "mine.yaml", "--config", "study=mine")
    assert "results/mine/report.html" in output
    report = (home / "results/mine/report.html").read_text()
    assert "over 4 folds" in report
    assert "90 % intervals" in report
    listed = pd.read_csv(home / "results/mine/artifacts.csv")
    assert (listed.key.str.fullmatch("[0-9a-f]{12}") & listed.made.notna()).all()
    assert set(listed.file.map(lambda path: (home / path).exists())) == {True}
