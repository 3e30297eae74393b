"""The whole study through Snakemake, in a copy of the workflow that the tests may edit."""

import math
import re
import shutil
from collections import Counter
from pathlib import Path

import h5py
import pandas as pd
import pytest
from workflow_copy import Study, copy_workflow

from halfseen.claims import Evidence
from halfseen.claims_table import judge_claims
from halfseen.ledger import read_ledger, tables_of
from halfseen.study.artifacts import RULES
from halfseen.tables import read_table

EVERY_JOB_OF_A_MODEL = Counter(
    extract_features=1, fit_probes=1, measure_similarity=1, count_neighbors=1
)
RESULTS_OF_A_STUDY = Counter(
    gather_tables=1, write_table1=1, write_table1_passing=1, judge_claims=1,
    compare_with_paper=1, summarise_masks=1, summarise_datasets=1, plot_mask_quality=1,
    plot_mask_examples=1, plot_variants=1,
    plot_similarity=2, plot_transfer=2, plot_model_map=1,
    plot_component_curves=1, plot_additivity=1, plot_neighbors=1, make_atlas=1, make_report=1,
    all=1,
)  # fmt: skip
# What is drawn from tables that a new model or an edited analysis changes.
AGGREGATES = RESULTS_OF_A_STUDY - Counter(
    plot_variants=1, plot_mask_examples=1, summarise_datasets=1
)


@pytest.fixture(scope="module")
def study(tmp_path_factory, root, mobile_sam):
    folder = tmp_path_factory.mktemp("study")
    shutil.copy(root / "tests/study/config.yaml", folder)
    (folder / "weights").mkdir()
    (folder / "weights/mobile_sam.pt").symlink_to(mobile_sam)
    study = Study(copy_workflow(root, tmp_path_factory.mktemp("workflow")), folder)
    study.first_output = study.run()
    study.first_results = results_for_reading(study)
    return study


def results_for_reading(study):
    """The bytes of the study's tables and figures, by path, without what tells when it was made."""
    found = {}
    for pattern in ("minute/*.*", "minute/tables/*", "minute/figures/*"):
        found |= study.bytes_of(pattern)
    for name in ("report.html", "artifacts.csv"):
        del found[study.folder / f"results/minute/{name}"]
    return found


PAPER_MODELS = ["supervised", "swav", "vicreg", "mae", "dinov2_vitg14"]
# What the study's tables do not have: measures of two kinds, and differences of models.
UNTESTED = {"6c", "14", "Q1", "Q2"}


def as_if_of_the_paper(table):
    """A table of the study as often as the paper has models and data sets, with their names."""
    copies = [
        table.replace({"emoji_scenes": dataset, "image_statistics": model})
        for dataset in ("cifar100", "caltech101")
        for model in PAPER_MODELS
    ]
    every = pd.concat(copies, ignore_index=True)
    return every.assign(reference="supervised") if "reference" in every else every


def add_model(config):
    """Add a second model to the study, a small network."""
    half = [0.5] * 3
    row = dict(loader="timm", name="test_resnet", pooling="average", mean=half, std=half)
    config["models"]["tiny"] = row | {"label": "Tiny"}
    config["studies"]["minute"]["models"].append("tiny")


def bytes_of_variants(path):
    """The bytes of each variant's representations in a file: {name: bytes}."""
    with h5py.File(path) as file:
        return {name: file[name]["features"][:].tobytes() for name in file}


# The tests of this file build on one another's results, in this order.


def test_leaves_the_table_the_figures_and_the_report(study):
    results = study.folder / "results/minute"
    for suffix in ("csv", "md", "tex"):
        assert "foreground" in (results / f"table1.{suffix}").read_text().lower()
    names = ["figure1_variants", "figure2_cca", "figure3_cka", "figure4_neighbors"]
    names += ["masks_quality"]
    starts = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}
    for name in names:
        for suffix, start in starts.items():
            assert (results / f"figures/{name}{suffix}").read_bytes().startswith(start)
    report = (results / "report.html").read_text()
    assert all(
        name in report
        for name in [*names, "table1.html", "masks.html", "datasets.html", "probes.csv"]
    )
    assert all(
        name in report
        for name in [
            "table1_passing.html",
            "claims.html",
            "fallbacks.html",
            "masks_of_emoji_scenes.png",
        ]
    )
    for place in ("table1.md", "figures/", "report.html", "atlas.html"):
        assert f"results/minute/{place}" in study.first_output


def test_a_variant_is_as_similar_to_itself_as_can_be(study):
    table = pd.read_csv(study.folder / "results/minute/tables/similarity.csv")
    alike = (table.variant_x == table.variant_y) & (table.measure != "procrustes")
    self_similarity = table[alike].similarity
    assert len(self_similarity) == 15
    assert self_similarity.to_numpy() == pytest.approx(1, abs=1e-6)


def test_every_claim_can_be_asked_of_the_tables(study, root):
    folder = root / "workflow"
    path, schema = folder / "resources/claims.yaml", folder / "schemas/claims.schema.yaml"
    names = {path.stem for path in (study.folder / "results/minute/tables").glob("*.csv")}
    ledger = read_ledger(path, schema, names)
    tables = study.folder / "results/minute/tables"
    evidence = Evidence(
        tables={
            name: as_if_of_the_paper(read_table(tables / f"{name}.csv"))
            for name in tables_of(ledger)
        },
        datasets={"cifar100": "cifar100", "caltech101": "caltech101"},
        models=PAPER_MODELS,
        choices={
            "protocol": "nested", "k": 10, "metric": "cosine",
            "mean_squared_cca": "cca_pc4", "linear_cka": "cka",
        },
        labels={"datasets": {name: name for name in ("cifar100", "caltech101")},
                "models": {name: name for name in PAPER_MODELS}},
    )  # fmt: skip
    claims, cells = judge_claims(ledger, evidence)
    assert set(claims.id[claims.verdict == "not tested"]) == UNTESTED
    assert set(cells.id[cells.verdict == "not tested"]) == UNTESTED


def test_without_a_trained_model_no_claim_is_tested(study):
    claims = read_table(study.folder / "results/minute/claims.csv")
    assert set(claims.verdict) == {"not tested"}
    assert "the study has no encoder with trained weights" in set(claims.reason)


def test_the_masks_are_exported_on_demand_and_coco_s_own_tools_read_them(study):
    from pycocotools.coco import COCO

    assert not (study.folder / "results/minute/masks").exists()
    assert study.jobs("export_masks") == Counter(write_coco=1, export_masks=1)
    folder = study.folder / "results/minute/masks/emoji_scenes"
    coco = COCO(folder / "annotations.json")
    assert len(coco.imgs) == 24
    assert len(list((folder / "masks").rglob("*.png"))) == 24
    assert len(coco.cats) == 4


def test_a_second_run_has_nothing_to_do(study):
    assert "Nothing to be done" in study.run()


def test_a_comment_a_message_and_a_new_kind_rerun_nothing(study):
    study.append("halfseen/similarity.py", "\n\n# A thought.\n")
    study.append("halfseen/progress.py", "\n\nEVERY_S = 3\n")
    study.replace("halfseen/datasets/kinds.py", "KINDS = {", 'KINDS = {"mine": Folder,')
    study.replace("halfseen/measures.py", "MEASURES = {", 'MEASURES = {"mine": None,')
    study.replace("halfseen/manifest.py", "the data set has a single class", "there is one class")
    assert "Nothing to be done" in study.run()


def test_a_clone_beside_the_results_recomputes_nothing(study, root, tmp_path):
    clone = copy_workflow(root, tmp_path / "clone")
    for path in clone.rglob("*"):
        path.touch()
    assert "Nothing to be done" in Study(clone, study.folder).run("--dry-run")


def test_a_new_data_set_recomputes_nothing_of_the_others(study):
    right = study.config()

    def add_dataset(config):
        row = config["datasets"]["emoji_scenes"]
        config["datasets"]["more_scenes"] = row | {"label": "More", "n_images": 16, "shards": 3}
        config["studies"]["minute"]["datasets"].append("more_scenes")

    study.edit_config(add_dataset)
    of_the_new_one = Counter(
        write_manifest=1,
        build_shard=3,
        assess_masks=1,
        compare_probes=1,
        compare_models=1,
        embed_umap=1,
    )
    jobs = study.jobs("--dry-run")
    assert jobs == of_the_new_one + EVERY_JOB_OF_A_MODEL + RESULTS_OF_A_STUDY
    study.edit_config(lambda config: config.update(right))


def test_other_weights_rerun_all_that_was_made_with_them_and_another_folder_nothing(study):
    right = study.config()

    def change_hash(config):
        config["weights"]["mobile_sam"]["sha256"] = 64 * "0"

    study.edit_config(change_hash)
    jobs = study.jobs("--dry-run")
    assert (jobs["fetch_weights"], jobs["build_shard"], jobs["fit_probes"]) == (1, 2, 1)
    study.edit_config(lambda config: config.update(right, local_folder=None, offline=True))
    assert "Nothing to be done" in study.run("--dry-run")
    study.edit_config(lambda config: config.update(right))


def test_a_new_model_runs_its_own_jobs_and_the_aggregates(study):
    kept = ["shards/*/*.h5", "*/emoji_scenes/image_statistics-*"]
    before = [study.bytes_of(pattern) for pattern in kept]
    study.edit_config(add_model)
    assert (
        study.jobs()
        == EVERY_JOB_OF_A_MODEL
        + Counter(embed_umap=1, compare_probes=1, compare_models=1)
        + AGGREGATES
    )
    assert [study.bytes_of(pattern) for pattern in kept] == before
    models = pd.read_csv(study.folder / "results/minute/table1.csv").model.unique()
    assert list(models) == ["image_statistics", "tiny"]


def test_an_edited_measure_reruns_the_similarity_and_nothing_above_it(study):
    study.replace(
        "halfseen/measures.py", "/ (pair.x.norm * pair.y.norm)", "/ (pair.y.norm * pair.x.norm)"
    )
    assert study.jobs() == Counter(measure_similarity=2, compare_models=1) + AGGREGATES


def test_a_changed_label_redraws_and_recomputes_nothing(study):
    study.edit_config(lambda config: config["models"]["tiny"].update(label="Very tiny"))
    expected = AGGREGATES - Counter(gather_tables=1, summarise_masks=1, plot_mask_quality=1)
    assert study.jobs("--dry-run") == expected


def test_a_changed_caption_makes_only_the_report_anew(study):
    study.run()
    study.append("report/table1.rst", "\nA new sentence.\n")
    assert study.jobs("--dry-run") == Counter(make_report=1, all=1)


def test_a_changed_radius_reruns_what_looks_through_the_circle_and_no_mask(study):
    right = study.config()
    study.edit_config(lambda config: config["variants"]["center"].update(radius=0.3))
    of_every_model = Counter({name: 2 * n for name, n in EVERY_JOB_OF_A_MODEL.items()})
    expected = of_every_model + Counter(
        embed_umap=1, compare_probes=1, compare_models=1, plot_variants=1
    )
    # The masks are summarised with the other tables, from what is there.
    assert study.jobs("--dry-run") == expected + AGGREGATES
    study.edit_config(lambda config: config.update(right))


def test_a_removed_model_leaves_no_trace_in_tables_and_figures(study):
    def remove_model(config):
        del config["models"]["tiny"]
        config["studies"]["minute"]["models"].remove("tiny")

    assert results_for_reading(study) != study.first_results
    study.edit_config(remove_model)
    # All but what the edited measure goes through is there from before the model was added.
    assert study.jobs() == Counter(compare_models=1) + AGGREGATES
    assert results_for_reading(study) == study.first_results


def test_a_new_variant_is_computed_by_every_model_and_leaves_the_others_as_they_are(study):
    right = study.config()
    models = ["image_statistics", "tiny"]

    def paths(stage, file):
        names = {"dataset": "emoji_scenes"}
        return [study.path(stage, file, **names, model=model) for model in models]

    study.edit_config(add_model)
    before = [bytes_of_variants(study.folder / path) for path in paths("features", "features")]
    rows = [pd.read_csv(study.folder / path) for path in paths("probes", "table")]
    masks = study.bytes_of("shards/*/*.h5") | study.bytes_of("masks/*.csv")

    def add_variant(config):
        config["variants"]["keyhole"] = dict(label="Keyhole", keep="center", radius=0.1)
        config["studies"]["minute"]["variants"].append("keyhole")

    study.edit_config(add_variant)
    of_every_model = Counter({name: 2 * n for name, n in EVERY_JOB_OF_A_MODEL.items()})
    # Nothing of its images and masks.
    of_the_data_set = Counter(embed_umap=1, compare_probes=1, compare_models=1)
    drawn = Counter(plot_variants=1, plot_dose_response=1) + AGGREGATES
    assert study.jobs("--dry-run") == of_every_model + of_the_data_set + drawn
    assert study.jobs(*paths("probes", "table")) == {"extract_features": 2, "fit_probes": 2}
    logs = (study.folder / "results/logs/extract_features/emoji_scenes").glob("*.log")
    assert sum("computing ['keyhole']" in log.read_text() for log in logs) == 2
    for path, old in zip(paths("features", "features"), before, strict=True):
        after = bytes_of_variants(study.folder / path)
        assert set(after) == {*old, "keyhole"}
        assert {name: after[name] for name in old} == old
    assert study.bytes_of("shards/*/*.h5") | study.bytes_of("masks/*.csv") == masks
    for path, old in zip(paths("probes", "table"), rows, strict=True):
        new = pd.read_csv(study.folder / path)
        of_keyhole = (new.train_variant == "keyhole") | (new.test_variant == "keyhole")
        assert of_keyhole.any()
        pd.testing.assert_frame_equal(
            new[~of_keyhole].reset_index(drop=True), old, check_exact=True
        )
    study.edit_config(lambda config: config.update(right))
    study.edit_config(add_variant)


def test_circles_of_several_radii_are_drawn_as_dose_and_response(study):
    study.run("results/minute/figures/dose_response.png")
    table = pd.read_csv(study.folder / "results/minute/dose_response.csv")
    shown = table[table.keep == "center"].groupby("variant").shown.first()
    expected = {"keyhole": 0.01 * math.pi, "center": 0.16 * math.pi, "original": 1}
    assert shown.to_dict() == pytest.approx(expected, rel=0.01)


def test_what_no_study_needs_is_named_with_its_bytes_and_on_request_removed(study):
    results = study.folder / "results"

    def add_study(config):
        config["studies"]["glance"] = config["studies"]["minute"] | {"title": "A glance"}

    def remove_rows(config):
        del config["studies"]["glance"]
        del config["variants"]["keyhole"]
        config["studies"]["minute"]["variants"].remove("keyhole")

    study.edit_config(add_study)
    study.run("--config", "study=glance", "--", "results/glance/artifacts.csv")
    study.run("plan", "--config", "study=glance")
    study.run("plan")
    study.edit_config(remove_rows)
    of_others = [
        "bench/masks.csv", "bench/speed.csv", "minute/my_table.csv", "minute/figures/mine.png",
        "mynotes/README.md", "mynotes/anything.csv", "trial/README.md", "features/mine/net.h5",
        "probes/emoji_scenes/mine.csv", "glance/mine.csv",
    ]  # fmt: skip
    for path in of_others:
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text("not of the study")
    current = {str(results / Path(path).relative_to("results")) for path in needed_files(study)}
    expected = {
        str(path.relative_to(study.folder))
        for path in results.rglob("*")
        if path.is_file()
        and (
            re.search(r"-[0-9a-f]{12}\.", path.name)
            or path.stem == "dose_response"
            or (path.parent.name in ("glance", "tables") and "glance" in path.parts)
            or path.name.startswith("glance.")
        )
        and str(path) not in current
    } - {f"results/{path}" for path in of_others}
    assert any("/tiny-" in path for path in expected)
    assert "results/minute/figures/dose_response.png" in expected
    assert {"results/glance/tables/probes.csv", "results/glance/plan.csv"} < expected
    before = study.bytes_of("**/image_statistics-*")

    output = study.run("clean")
    lines = re.findall(r"^ *[\d,.]+ MB  (results/.*)$", output, flags=re.MULTILINE)
    assert set(lines) == expected
    size = sum((study.folder / path).stat().st_size for path in lines) / 1e6
    assert f"{len(lines)} files and folders, {size:,.3f} MB, would be removed" in output
    assert all((study.folder / path).exists() for path in lines)
    output = study.run("clean", "--config", "remove_unneeded=True")
    assert "were removed" in output
    assert not any((study.folder / path).exists() for path in lines)
    for path in ("weights/mobile_sam.ckpt", "minute/plan.csv", *of_others):
        assert (results / path).exists()
    kept = study.bytes_of("**/image_statistics-*")
    assert kept.items() <= before.items()
    assert {str(path) for path in kept} <= current
    assert "Every file is needed" in study.run("clean")


def needed_files(study):
    """The keyed files, logs and benchmarks of the study as it is configured now."""
    for made in study.configured().artifacts():
        paths = [Path(path).relative_to(study.folder) for path in made.paths.values()]
        yield from map(str, paths)
        name = str(Path(*paths[0].parts[2:])).split(".")[0]
        for kind, suffix in (("logs", "log"), ("benchmarks", "tsv")):
            yield f"results/{kind}/{RULES[made.stage]}/{name}.{suffix}"


def test_the_log_of_a_failing_job_holds_its_traceback(study):
    study.edit_config(lambda config: config.update(solver={"max_iterations": 1}))
    names = {"dataset": "emoji_scenes", "model": "image_statistics"}
    probes = study.path("probes", "table", **names)
    output = study.run(probes, expect_success=False)
    log = f"results/logs/fit_probes/emoji_scenes/{Path(probes).stem}.log"
    told = (study.folder / log).read_text()
    assert "Traceback (most recent call last)" in told
    assert "all but folds 0 and 1, C = 0.001: the fit has not converged" in told
    assert log in output


def test_a_misspelt_key_stops_the_run_with_the_nearest_valid_one(study):
    study.edit_config(lambda config: config.update(seeds=3))
    output = study.run("--dry-run", expect_success=False)
    assert re.search(r"unknown key 'seeds' \(value 3\); .* did you mean 'seed'\?", output)
