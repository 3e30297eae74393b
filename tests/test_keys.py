"""What a study's files are named after: every row and number that counts, and nothing else."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from halfseen.config import check_config, take_labels
from halfseen.study import study as study_module
from halfseen.study.artifacts import FILES, RULES, Artifact, digest
from halfseen.study.code import Code
from halfseen.study.fingerprints import MissingFolderError, expanded, folder_fingerprint
from halfseen.study.news import news_text, reason
from halfseen.study.records import (
    OtherKeyError,
    check_records,
    read_record,
    records_below,
    with_records,
    write_record,
)
from halfseen.study.results import TABLES, artifact_rows, figures, left_out
from halfseen.study.study import UNKNOWN, Study

CODE = Code()
STAGES = [stage for stage in RULES if stage != "datasets"]
OF_MODELS = {"features", "probes", "probe_comparisons", "similarity", "model_comparisons",
             "neighbors", "umap"}  # fmt: skip


@pytest.fixture(scope="module")
def checked(root):
    """A configuration with three models, one with weights, checked and without labels."""
    config = yaml.safe_load((root / "tests/study/config.yaml").read_text())
    half = [0.5] * 3
    net = dict(label="N", loader="timm", name="test_resnet", pooling="average", mean=half, std=half)
    config["models"] |= {"net": net, "trained": net | {"weights": "mobile_sam"}}
    config["studies"]["minute"]["models"] = ["image_statistics", "net", "trained"]
    config["prompts"]["grid"] = {"label": "Grid", "kind": "grid"}
    check_config(config, root / "workflow/schemas/config.schema.yaml")
    take_labels(config)
    return config


@pytest.fixture
def keys(checked, tmp_path):
    """A function: {stage, names: key} of the study after a change of its configuration."""

    def keys_after(change=None):
        config = deepcopy(checked)
        if change:
            change(config)
        study = Study(config, results=str(tmp_path), code=CODE)
        return {
            (made.stage, *map(str, made.names.values())): made.key for made in study.artifacts()
        }

    return keys_after


def changed_stages(before, after):
    return {key[0] for key in before if before[key] != after.get(key)}


def of_model(name):
    return lambda config, **row: config["models"][name].update(row)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (lambda c: c.update(seed=8), set(STAGES)),
        (lambda c: c.update(folds=4), set(STAGES)),
        (lambda c: c["datasets"]["emoji_scenes"].update(n_images=28), set(STAGES)),
        (lambda c: c["datasets"]["emoji_scenes"].update(prompt="grid"),
         set(STAGES) - {"manifests"}),
        (lambda c: c["datasets"]["emoji_scenes"].update(segment_on="source"),
         set(STAGES) - {"manifests"}),
        (lambda c: c["weights"]["mobile_sam"].update(sha256=64 * "0"), set(STAGES) - {"manifests"}),
        (lambda c: c["passing_masks"].update(min_stability=0.5), {"masks"}),
        (lambda c: c["models"]["net"].update(name="test_vit"), OF_MODELS),
        (lambda c: c["models"]["net"].update(pooling="network"), OF_MODELS),
        (lambda c: c["models"]["net"].update(precision="bfloat16"), OF_MODELS),
        (lambda c: c["variants"]["center"].update(radius=0.3), OF_MODELS),
        (lambda c: c["variants"]["border"].update(fill=1), OF_MODELS),
        (lambda c: c["variants"]["original"].update(role=None),
         {"similarity", "neighbors", "probe_comparisons"}),
        (lambda c: c["probes"]["knn"].update(k=2),
         {"probes", "probe_comparisons", "model_comparisons"}),
        (lambda c: c["solver"].update(tolerance=1e-9),
         {"probes", "probe_comparisons", "model_comparisons"}),
        (lambda c: c["measures"]["neighbors"].update(k=2), {"similarity", "model_comparisons"}),
        (lambda c: c["similarity"].update(permutations=20), {"similarity"}),
        (lambda c: c["neighbors"].update(k=[3]), {"neighbors"}),
        (lambda c: c["bootstrap"].update(draws=50), {"neighbors", "probe_comparisons"}),
        (lambda c: c["umap"].update(min_dist=0.2), {"umap"}),
    ],
)  # fmt: skip
def test_a_row_that_counts_renames_what_it_makes_and_what_follows(keys, change, stages):
    assert changed_stages(keys(), keys(change)) == stages


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(local_folder="elsewhere", offline=True, remove_unneeded=True),
        lambda c: c["models"]["net"].update(batch_size=3, compile=True),
        lambda c: c["segmenters"]["mobile_sam"].update(batch_size=3, device="cpu"),
        lambda c: c["datasets"]["emoji_scenes"].update(mask_note="x", extraction_shards=3),
        lambda c: c["weights"].update(other=c["weights"]["mobile_sam"]),
        lambda c: c["weights"]["mobile_sam"].update(sources=[], licence="x", file="y"),
        lambda c: c["studies"]["minute"].update(title="Another"),
        lambda c: c["atlas"].update(max_mb=1),
        lambda c: c["models"].update(unused=c["models"]["net"]),
    ],
)
def test_how_something_is_brought_computed_or_called_renames_nothing(keys, change):
    assert keys(change) == keys()


def test_the_weights_of_a_model_count_by_their_hash_not_their_name(keys):
    def rename(config):
        config["weights"]["again"] = config["weights"]["mobile_sam"]
        config["models"]["trained"]["weights"] = "again"

    assert keys(rename) == keys()


def test_a_new_model_renames_nothing_of_the_others(keys):
    def add(config):
        config["models"]["more"] = config["models"]["net"] | {"name": "test_vit"}
        config["studies"]["minute"]["models"].append("more")

    before, after = keys(), keys(add)
    of_all = {"probe_comparisons", "model_comparisons", "umap"}
    assert changed_stages(before, after) == of_all
    new = {key[0] for key in after.keys() - before.keys()}
    assert new == {"features", "probes", "similarity", "neighbors"}


def variant_keys(config, tmp_path, model="net"):
    return Study(config, results=str(tmp_path), code=CODE).variant_keys("emoji_scenes", model)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["variants"]["center"].update(radius=0.3), {"center"}),
        (lambda c: c["datasets"]["emoji_scenes"].update(prompt="grid"),
         {"foreground", "background"}),
        (lambda c: c["datasets"]["emoji_scenes"].update(shards=5), set()),
        (lambda c: c.update(folds=4), set()),
        (lambda c: c["variants"]["original"].update(role=None), set()),
        (lambda c: c["studies"]["minute"]["variants"].reverse(), set()),
        (lambda c: c.update(seed=8),
         {"original", "foreground", "background", "center", "border"}),
        (lambda c: c["models"]["net"].update(arguments={"in_chans": 3}),
         {"original", "foreground", "background", "center", "border"}),
    ],
)  # fmt: skip
def test_a_variant_s_own_key_holds_until_what_it_shows_or_who_sees_it_changes(
    checked, tmp_path, change, expected
):
    config = deepcopy(checked)
    change(config)
    before, after = variant_keys(checked, tmp_path), variant_keys(config, tmp_path)
    assert {name for name in before if before[name] != after[name]} == expected


def test_models_of_one_network_have_one_key_a_variant(checked, tmp_path):
    config = deepcopy(checked)
    config["models"]["twin"] = config["models"]["net"]
    assert variant_keys(config, tmp_path) == variant_keys(config, tmp_path, "twin")
    assert variant_keys(config, tmp_path) != variant_keys(config, tmp_path, "trained")


def test_every_file_of_a_stage_has_the_key_in_its_name_and_the_names_of_its_job(checked):
    study = Study(checked, code=CODE)
    for made in study.artifacts():
        assert len(made.key) == 12
        assert made.paths.keys() == FILES[made.stage].keys()
        for path in made.paths.values():
            assert path.startswith("results/")
            assert f"-{made.key}" in path
            assert all(str(name) in path for name in made.names.values())
    paths = [path for made in study.artifacts() for path in made.paths.values()]
    assert len(paths) == len(set(paths))


def test_a_hash_that_nobody_knows_is_taken_from_the_lock_file_or_said(
    checked, monkeypatch, tmp_path
):
    config = deepcopy(checked)
    config["weights"]["mobile_sam"]["sha256"] = None
    monkeypatch.setattr(study_module, "RESOURCES", tmp_path)
    study = Study(config, code=CODE)
    assert study.sha256("weights", "mobile_sam") == UNKNOWN
    assert study.without_hash() == {"weights": ["mobile_sam"], "archives": []}
    (tmp_path / "weights.lock.yaml").write_text(yaml.safe_dump({"mobile_sam": {"sha256": "ab"}}))
    study = Study(config, code=CODE)
    assert study.sha256("weights", "mobile_sam") == "ab"
    assert study.without_hash() == {"weights": [], "archives": []}


def test_a_job_asks_for_more_memory_with_its_networks_and_its_images(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    check_config(config, root / "workflow/schemas/config.schema.yaml")
    study = Study(config, "paper", code=CODE)
    # SAM ViT-H beside the images, and a detector for names of classes.
    assert study.memory_mb("build_shard", "aircraft") == 4000 + 12000 + 4000
    assert study.memory_mb("build_shard", "emoji_scenes") == 4000
    assert study.memory_mb("extract_features", "cifar100") == 4000
    assert study.memory_mb("count_neighbors", "cifar100") == 2000 + int(3 * 6e4 * 5 * 2048 * 4e-6)
    assert {rule: study.minutes(rule) for rule in ("fit_probes", "embed_umap")} == {
        "fit_probes": 480, "embed_umap": 240,
    }  # fmt: skip


# Folders of a user's own


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "a").mkdir(parents=True)
    for name in ("a/1.png", "a/2.png", "list.txt"):
        (folder / name).write_text(name)
    return folder


def test_a_fingerprint_is_of_names_and_content_not_of_times_or_the_folder(pictures, tmp_path):
    first = folder_fingerprint(pictures)
    (pictures / "a/1.png").touch()
    assert folder_fingerprint(pictures) == first
    moved = pictures.rename(tmp_path / "moved")
    assert folder_fingerprint(moved) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a/1.png").write_text("other"),
        lambda folder: (folder / "a/1.png").write_text("a/1.pnG"),
        lambda folder: (folder / "a/1.png").unlink(),
        lambda folder: (folder / "a/3.png").write_text(""),
        lambda folder: (folder / "a/1.png").rename(folder / "a/0.png"),
        lambda folder: (folder / "a").rename(folder / "b"),
    ],
)
@pytest.mark.parametrize("is_indexed", [False, True])
def test_another_name_or_content_gives_another_fingerprint(pictures, tmp_path, change, is_indexed):
    index = tmp_path / "index.json" if is_indexed else None
    first = folder_fingerprint(pictures, index)
    change(pictures)
    assert folder_fingerprint(pictures, index) != first
    assert folder_fingerprint(pictures, index) == folder_fingerprint(pictures)


def test_the_index_saves_reading_what_has_not_changed(pictures, tmp_path, monkeypatch):
    index = tmp_path / "index.json"
    first = folder_fingerprint(pictures, index)
    (pictures / "a/2.png").write_text("other")
    read = []
    hashed = study_module.folder_fingerprint.__globals__["_sha256"]
    monkeypatch.setitem(
        study_module.folder_fingerprint.__globals__, "_sha256",
        lambda path: read.append(Path(path).name) or hashed(path),
    )  # fmt: skip
    assert folder_fingerprint(pictures, index) != first
    assert read == ["2.png"]
    assert folder_fingerprint(pictures, index)
    assert read == ["2.png"]
    index.write_text("{")
    assert folder_fingerprint(pictures, index) == folder_fingerprint(pictures)


def test_a_folder_that_is_not_there_is_named_with_its_variable(tmp_path, monkeypatch):
    with pytest.raises(MissingFolderError, match="gone is no folder, or is not there"):
        folder_fingerprint(tmp_path / "gone")
    monkeypatch.setenv("MY_DATA", "/data")
    assert expanded("${MY_DATA}/x") == "/data/x"
    with pytest.raises(MissingFolderError, match="variable NO_DATA, which is not set"):
        expanded("${NO_DATA}/x")


# Records


def artifact(tmp_path, **parameters):
    names = {"dataset": "d", "model": "m"}
    return Artifact("probes", names, parameters, {"halfseen.x.f": "1"}, results=str(tmp_path))


def test_a_record_says_what_when_and_by_which_commit_and_is_found(tmp_path):
    made = artifact(tmp_path, seed=3)
    write_record(made.path("record"), made.record, "abc")
    record = read_record(made.path("record"))
    assert record["parameters"] == {"seed": 3}
    assert (record["key"], record["commit"], record["made"][:2]) == (made.key, "abc", "20")
    (tmp_path / "probes/d/mine.json").write_text("{}")
    assert list(records_below(tmp_path)) == [made.path("record")]
    check_records({made.path("record"): made.key})
    rows = [{"result": "r", "stage": "probes", "dataset": "d", "model": "m", "file": "f",
             "key": made.key, "parameters": "{}", "record": path}
            for path in (made.path("record"), str(tmp_path / "gone.json"))]  # fmt: skip
    told = with_records(rows)
    assert [row["commit"] for row in told] == ["abc", ""]
    assert list(told[0]) == ["result", "stage", "dataset", "model", "file", "key", "made", "commit",
                             "parameters"]  # fmt: skip


def test_a_record_of_another_key_a_damaged_one_and_none_are_refused(tmp_path):
    made = artifact(tmp_path, seed=3)
    path = made.path("record")
    with pytest.raises(OtherKeyError, match=r"is not a record .*remove .*\.\* and run again"):
        check_records({path: made.key})
    write_record(path, made.record, "abc")
    with pytest.raises(OtherKeyError, match=f"its key is {made.key}, other is expected"):
        check_records({path: "other"})
    Path(path).write_text("{")
    with pytest.raises(OtherKeyError, match="JSONDecodeError"):
        check_records({path: made.key})


def test_the_key_is_a_hash_of_parameters_code_and_inputs(tmp_path):
    one = artifact(tmp_path, seed=3)
    same = artifact(tmp_path, seed=3)
    assert one.key == same.key
    assert one.key != artifact(tmp_path, seed=4).key
    code = Artifact("probes", one.names, {"seed": 3}, {"halfseen.x.f": "2"})
    inputs = Artifact("probes", one.names, {"seed": 3}, one.code, {"features": same})
    many = Artifact("probes", one.names, {"seed": 3}, one.code, {"features": [same, one]})
    assert len({one.key, code.key, inputs.key, many.key}) == 4
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


# What is said


B = {"b": {"radius": 1}}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"model": {"name": "resnet18"}}, {"model": {"name": "resnet34"}},
         "other network (resnet18 before, resnet34 now)"),
        ({"model": {"sha256": "a"}}, {"model": {"sha256": "b"}}, "other weights"),
        ({"model": {"mean": [0]}}, {"model": {"mean": [1]}}, "other normalization"),
        ({"variants": {"a": {"radius": 1}}}, {"variants": {"a": {"radius": 2}}},
         "other variants (1 before, 2 now)"),
        ({"variants": B}, {"variants": B | {"a": {"radius": 2}}}, "new variant a"),
        ({"images": {"files": "x"}}, {"images": {"files": "y"}}, "files changed in its folder"),
        ({"folds": 5}, {"folds": 3}, "other folds (5 before, 3 now)"),
        ({"folds": 5}, {"folds": 5}, ""),
    ],
)  # fmt: skip
def test_why_something_is_made_anew_is_told_in_the_words_of_the_configuration(
    tmp_path, before, now, told
):
    old, new = artifact(tmp_path, **before), artifact(tmp_path, **now)
    earlier = {("probes", (("dataset", "d"), ("model", "m"))): old.record}
    assert reason(new, earlier) == told
    assert reason(new, {}) == "new"


def test_edited_code_is_told_by_its_name(tmp_path):
    old, new = artifact(tmp_path), artifact(tmp_path)
    new.code["halfseen.x.g"] = "2"
    earlier = {("probes", (("dataset", "d"), ("model", "m"))): old.record}
    assert reason(new, earlier) == "edited code (x.g)"


def test_news_names_models_variants_and_data_sets_and_what_is_left_out(checked, tmp_path):
    config = deepcopy(checked)
    config["variants"]["original"]["role"] = None
    config["studies"]["minute"]["measures"] = ["cka"]
    text = news_text(Study(config, results=str(tmp_path), code=CODE))
    assert "net: new; 5 variants of emoji_scenes\n" in text
    assert "emoji_scenes: new; lists of images\n" in text
    assert (
        "Left out: figure2_cca, since the study selects no measure of kind mean_squared_cca" in text
    )
    assert "Left out: component_curves, since no variant has `role: whole`" in text


def test_what_a_selection_leaves_nothing_to_draw_of_is_left_out(checked):
    config = deepcopy(checked)
    study = Study(config, code=CODE)
    assert set(left_out(study)) == {"dose_response"}
    assert "additivity" in figures(study)
    config["probes"]["nested"]["transfer"] = False
    config["studies"]["minute"]["variants"] = ["original", "center", "border"]
    config["variants"]["keyhole"] = config["variants"]["center"] | {"radius": 0.1}
    config["studies"]["minute"]["variants"].append("keyhole")
    study = Study(config, code=CODE)
    assert set(left_out(study)) == {"additivity", "transfer_raw", "transfer_recentred"}


def test_every_result_is_traced_to_the_keyed_files_that_it_came_from(checked):
    study = Study(checked, code=CODE)
    rows = artifact_rows(study)
    results = {row["result"] for row in rows}
    assert {f"tables/{name}.csv" for name in TABLES} < results
    assert {f"figures/{name}" for name in figures(study)} < results
    of_probes = [row for row in rows if row["result"] == "tables/probes.csv"]
    assert [row["model"] for row in of_probes] == study.models
    assert [row["key"] for row in of_probes] == [made.key for made in study.of_stage("probes")]
