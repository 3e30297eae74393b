"""The plan of a study; a run of the default study on two cores left recorded_benchmarks.csv."""

import csv
import re
import shutil

import pandas as pd
import pytest
import yaml
from workflow_copy import Study

from halfseen.config import check_config, take_labels
from halfseen.costs import FORMULAS, Cost, Costs, Size
from halfseen.plan import (
    NETWORKS,
    Job,
    Pace,
    core_seconds,
    dataset_size,
    described,
    listed_jobs,
    measured_paces,
    plan_table,
    requests_text,
    short_requests,
)

QUICKSTART = {"emoji_scenes": Size(240, 16, "config"), "photo_textures": Size(96, 8, "config")}
# Benchmarks that lie deeper than the rule's folder, by the wildcards of their path.
PLACES = {
    "{dataset}": ["write_manifest", "assess_masks"],
    "{dataset}/{shard}": ["build_shard"],
    "{dataset}/{model}": [
        "extract_features",
        "fit_probes",
        "measure_similarity",
        "count_neighbors",
    ],
    "quickstart/{dataset}": [
        "compare_probes",
        "compare_models",
        "embed_umap",
        "plot_mask_examples",
    ],
    "{weights}": ["fetch_weights"],
}


@pytest.fixture(scope="module")
def rates(root):
    return yaml.safe_load((root / "workflow/resources/default_rates.yaml").read_text())


@pytest.fixture
def config(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    check_config(config, root / "workflow/schemas/config.schema.yaml")
    take_labels(config)
    return config


@pytest.fixture
def costs(config, rates):
    return Costs(config, dict(QUICKSTART), rates)


def recorded(root):
    """[(rule, wildcards, benchmark)] of the recorded run."""
    with open(root / "tests/recorded_benchmarks.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wildcards = {rule: place for place, rules in PLACES.items() for rule in rules}
    found = []
    for row in rows:
        rule, *values = row["job"].split("/")
        names = wildcards.get(rule, "").split("/")
        named = {name[1:-1]: value for name, value in zip(names, values, strict=False)
                 if name.startswith("{")}  # fmt: skip
        found.append((rule, named, row))
    return found


def write_benchmark(folder, job, s, cpu_time, max_rss=100):
    """One of Snakemake's benchmark files, without the columns that are not read."""
    path = folder / f"{job}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\tcpu_time\n{s}\t{max_rss}\t{cpu_time}\n")


def patterns(folder):
    return {rule: f"{folder}/{rule}/{place}.tsv" for place in PLACES for rule in PLACES[place]}


def total(jobs, costs, paces, column="core_hours"):
    return plan_table(jobs, costs, paces)[column].sum() * 3600


def test_the_default_rates_tell_a_recorded_run_within_a_factor_of_one_and_a_half(root, costs):
    run = recorded(root)
    took = sum(core_seconds(benchmark) for *_, benchmark in run)
    planned = total([Job(rule, named, True) for rule, named, _ in run], costs, {})
    assert len(run) == 71
    assert took / 1.5 < planned < took * 1.5


@pytest.mark.parametrize(
    "rule", ["build_shard", "extract_features", "fit_probes", "measure_similarity"]
)
def test_so_they_do_of_every_kind_of_job_that_takes_long(root, costs, rule):
    run = [entry for entry in recorded(root) if entry[0] == rule]
    took = sum(core_seconds(benchmark) for *_, benchmark in run)
    planned = sum(costs.of(rule, named).core_s for _, named, _ in run)
    assert took / 1.5 < planned < took * 1.5


def test_measured_rates_tell_it_better_than_wrong_defaults(root, costs, tmp_path):
    run = recorded(root)
    for _, _, row in run:
        write_benchmark(tmp_path, row["job"], row["s"], row["cpu_time"], row["max_rss"])
    for rate in ("segmenter_gmacs", "depthwise_gmacs", "dense_gmacs"):
        costs.rates[rate] /= 3
    costs.rates |= {"fit_overhead": 0.3, "pairing": 1e-7, "query_grid": 2, "neighbor_row": 0.02}
    jobs = [Job(rule, named, True) for rule, named, _ in run]
    took = sum(core_seconds(benchmark) for *_, benchmark in run)
    paces = measured_paces(tmp_path, patterns(tmp_path), costs)
    assert total(jobs, costs, {}) > 2.5 * took
    assert took / 1.5 < total(jobs, costs, paces) < took * 1.5


def test_a_benchmark_s_cpu_time_is_that_of_its_last_sample():
    def told(s, cpu_time):
        return core_seconds({"s": s, "cpu_time": cpu_time})

    assert told("10", "8") == 8
    assert told("31", "15.5") == 31  # sampled at 15.5 s, when it was busy all the time
    assert told("90", "75.5") == 90  # at 15.5 + 60 s
    assert told("0.1", "NA") == 0.1
    assert told("0.1", "0.00") == 0.1


def test_extraction_is_the_network_s_work_on_every_image_and_variant(costs):
    costs.rates |= {"start_network": 5, "compose_variant": 0.01, "depthwise_gmacs": 2}
    costs.rates |= {"gpu_gmacs": 40, "memory_torch": 700, "memory_activations": 300}
    costs.rates["identity_mb"] = 0
    told = costs.of("extract_features", {"dataset": "emoji_scenes", "model": "efficientnet_lite0"})
    # 240 images x 5 variants of 0.384 GMACs and 1280 numbers of four bytes; 3.4 million parameters
    assert told.core_s == pytest.approx(5 + 1200 * (0.01 + 0.192))
    assert told.gpu_s == pytest.approx(5 + 1200 * (0.01 + 0.0096))
    assert told.disk_mb == pytest.approx(1200 * 1280 * 4 / 1e6)
    assert told.memory_mb == pytest.approx(700 + 4 * 3.4 + 300)


def test_a_part_is_its_share_of_the_extraction(costs):
    costs.rates |= {"start_network": 0, "start_torch": 0, "copy": 2}
    of = {"dataset": "emoji_scenes", "model": "efficientnet_lite0"}
    costs.config["datasets"]["emoji_scenes"]["extraction_shards"] = 3
    whole, part = costs.of("extract_features", of), costs.of("extract_part", of | {"part": "0"})
    assert part.core_s == pytest.approx(whole.core_s / 3)
    assert part.disk_mb == pytest.approx(whole.disk_mb / 3)
    gathered = costs.of("gather_features", of)
    assert (gathered.core_s, gathered.disk_mb) == (whole.disk_mb / 2, whole.disk_mb)


def test_a_shard_is_its_images_share_of_the_segmenter_s_work(costs):
    costs.rates |= {"start_network": 5, "read_image": 0.1, "segmenter_gmacs": 10, "query_box": 1,
        "query_grid": 2, "gpu_gmacs": 100, "gpu_query": 0.5}  # fmt: skip
    told = costs.of("build_shard", {"dataset": "emoji_scenes", "shard": "0"})
    # 240 images in 4 shards; 512 px have a quarter of the pixels of 1024
    assert told.core_s == pytest.approx(5 + 60 * (0.1 + 38.768 / 4 / 10 + 1 + 2))
    assert told.gpu_s == pytest.approx(5 + 60 * (0.1 + 38.768 / 4 / 100 + 2 * 0.5))


def test_every_fit_of_a_protocol_counts(costs):
    grid = {"lowest": 1, "highest": 2, "count": 3}
    costs.n_variants = 2
    nested = {"kind": "nested", "costs": grid, "shuffled_control": True}
    # (2 variants + shuffled labels) x (10 pairs of 5 folds x 3 values of C + 5 folds)
    assert costs.n_fits(nested) == 3 * 35
    assert costs.n_fits({"kind": "fixed"}) == 10
    assert costs.n_fits({"kind": "official", "costs": grid}) == 2 * 4
    assert costs.n_fits({"kind": "knn"}) == 0


def test_a_manifest_takes_thumbnails_and_the_search_or_the_tables_of_the_folds(costs):
    costs.rates |= {"memory_tables": 200, "memory_thumbnail": 0.01, "memory_searched": 0.03}
    costs.rates["memory_pair"] = 1e-6
    costs.sizes["emoji_scenes"] = Size(10_000, 500, "config")
    row, of = costs.config["datasets"]["emoji_scenes"], {"dataset": "emoji_scenes"}
    # two tables of 10,000 x 500 numbers of eight bytes
    assert costs.of("write_manifest", of).memory_mb == pytest.approx(200 + 100 + 80)
    row["near_duplicates"] = True
    assert costs.of("write_manifest", of).memory_mb == pytest.approx(200 + 100 + 300 + 50)


def test_masks_are_compared_a_shard_at_a_time(costs):
    costs.rates |= {"memory_tables": 200, "memory_row": 0.001, "memory_masks": 0.15}
    costs.sizes["emoji_scenes"] = Size(40_000, 16, "config")  # in 4 shards
    told = costs.of("assess_masks", {"dataset": "emoji_scenes"})
    assert told.memory_mb == pytest.approx(200 + 40 + 0.15 * 10_000)


def test_similarity_holds_features_moments_and_batches_of_cross_products(costs):
    costs.rates["memory_torch"] = 700
    costs.config["similarity"]["jackknife_groups"] = 8
    of = {"dataset": "emoji_scenes", "model": "pixels"}

    def told(n, n_variants):
        costs.sizes["emoji_scenes"], costs.n_variants = Size(n, 16, "config"), n_variants
        return costs.of("measure_similarity", of).memory_mb

    moments, features = 8 * 768**2 * 8e-6, 768 * 4e-6
    # three variants with themselves, and with each other, which is no more than these
    assert told(1000, 3) == pytest.approx(700 + 3000 * features + 6 * moments)
    # a view of every variant beside it
    assert told(500_000, 3) == pytest.approx(700 + 2 * 1_500_000 * features)
    # of many cross-products a batch, as large as all else
    assert told(1000, 40) == pytest.approx(2 * (700 + 40_000 * features + 40 * moments))


def test_neighbours_grow_with_queries_times_images(costs):
    costs.rates |= {"start_torch": 0, "neighbor_row": 0, "neighbor_gmacs": 1e-9}
    of = {"dataset": "emoji_scenes", "model": "pixels"}
    assert costs.of("count_neighbors", of).core_s == pytest.approx(2 * 1200 * 1200 * 768)
    costs.sizes["emoji_scenes"] = Size(20_000, 16, "config")
    # 10,000 queries at most, two metrics
    assert costs.of("count_neighbors", of).core_s == pytest.approx(2 * 50_000 * 100_000 * 768)


@pytest.mark.parametrize("rule", sorted(FORMULAS))
def test_more_images_cost_no_less_of_anything(costs, config, rule):
    config["datasets"]["emoji_scenes"] |= {"near_duplicates": True, "archives": []}
    wildcards = {"dataset": "emoji_scenes", "model": "pixels", "shard": "0"}
    names = {"fetch_weights": {"weights": "sam_vit_h"}, "fetch_archive": {"archive": "caltech_101"},
        "extract_features": {"dataset": "emoji_scenes", "model": "pixels"},
        "build_shard": {"dataset": "emoji_scenes", "shard": "0"},
        "gather_features": {"dataset": "emoji_scenes", "model": "pixels"},
        "extract_part": {"dataset": "emoji_scenes", "model": "pixels", "part": "0"}}  # fmt: skip
    by_model = {"fit_probes", "measure_similarity", "count_neighbors"}
    keys = ("dataset", "model") if rule in by_model else ("dataset",)
    wildcards = names.get(rule, {key: wildcards[key] for key in keys})
    few = costs.of(rule, wildcards)
    costs.sizes["emoji_scenes"] = Size(24_000, 16, "config")
    many = costs.of(rule, wildcards)
    assert many.core_s >= few.core_s
    assert many.disk_mb >= few.disk_mb
    assert many.memory_mb >= few.memory_mb
    if not rule.startswith("fetch_w") and not rule.startswith("fetch_a"):
        assert many.core_s > few.core_s


@pytest.mark.parametrize("rule", ["compare_probes", "compare_models", "embed_umap"])
def test_more_models_cost_more_where_they_are_compared(costs, rule):
    few = costs.of(rule, {"dataset": "emoji_scenes"}).core_s
    costs.study["models"] = costs.study["models"] + ["supervised"]
    assert costs.of(rule, {"dataset": "emoji_scenes"}).core_s > few


def test_a_measured_rate_beats_the_default_of_its_network_and_of_no_other(costs, tmp_path):
    jobs = [
        Job("extract_features", {"dataset": "emoji_scenes", "model": model}, True)
        for model in ("efficientnet_lite0", "supervised")
    ]
    default = plan_table(jobs, costs, {}).set_index("subject").core_hours
    write_benchmark(
        tmp_path, "extract_features/photo_textures/efficientnet_lite0_untrained",
        s=1000, cpu_time=985.5, max_rss=4000,
    )  # fmt: skip
    paces = measured_paces(tmp_path, patterns(tmp_path), costs)
    measured = plan_table(jobs, costs, paces).set_index("subject")
    small = {"dataset": "photo_textures", "model": "efficientnet_lite0_untrained"}
    factor = 1000 * 985.5 / 975.5 / costs.of("extract_features", small).core_s
    network = "tf_efficientnet_lite0"
    assert measured.core_hours[network] == pytest.approx(factor * default[network])
    assert measured.core_hours["resnet50"] == default["resnet50"]
    assert measured.rate.to_dict() == {network: "measured (1 jobs)", "resnet50": "default"}
    assert measured.memory_gb[network] == pytest.approx(4.0)


def test_what_ran_on_a_gpu_tells_of_gpus_and_what_kept_its_variants_of_nothing(costs, tmp_path):
    of = {"dataset": "emoji_scenes", "model": "dinov2_vitg14"}
    jobs = [Job("extract_features", of, True)]
    on_gpu = 2 * costs.of("extract_features", of).gpu_s
    write_benchmark(tmp_path, "extract_features/emoji_scenes/dinov2_vitg14", on_gpu, on_gpu)
    write_benchmark(tmp_path, "extract_features/photo_textures/dinov2_vitg14", 3, 3)
    paces = measured_paces(tmp_path, patterns(tmp_path), costs)
    (told,) = plan_table(jobs, costs, paces).to_dict("records")
    assert told["gpu_hours_to_run"] * 3600 == pytest.approx(on_gpu)
    assert told["core_hours"] * 3600 == pytest.approx(costs.of("extract_features", of).core_s)
    assert told["rate"] == "measured on a GPU (1 jobs)"


def test_of_several_jobs_of_a_rule_the_median_counts_and_of_a_row_that_is_gone_nothing(
    costs, tmp_path
):
    of = {"dataset": "emoji_scenes", "model": "pixels"}
    default = costs.of("count_neighbors", of).core_s
    names = "pixels", "image_statistics", "efficientnet_lite0"
    for factor, name in zip((1, 2, 9), names, strict=True):
        seconds = factor * costs.of("count_neighbors", of | {"model": name}).core_s
        write_benchmark(tmp_path, f"count_neighbors/emoji_scenes/{name}", seconds, "NA")
    write_benchmark(tmp_path, "count_neighbors/emoji_scenes/gone", 1e6, "NA")
    paces = measured_paces(tmp_path, patterns(tmp_path), costs)
    own = total([Job("count_neighbors", of, True)], costs, paces)
    other = {"dataset": "emoji_scenes", "model": "swav"}
    assert own == pytest.approx(default)
    assert total([Job("count_neighbors", other, True)], costs, paces) == pytest.approx(
        2 * costs.of("count_neighbors", other).core_s
    )


def test_only_what_is_still_to_run_is_to_be_paid(costs):
    of = {"dataset": "emoji_scenes", "model": "pixels"}
    jobs = [Job("fit_probes", of, False), Job("fit_probes", of | {"model": "swav"}, True)]
    (told,) = plan_table(jobs, costs, {}).to_dict("records")
    last = costs.of("fit_probes", of | {"model": "swav"})
    assert (told["jobs"], told["jobs_to_run"]) == (2, 1)
    assert told["core_hours_to_run"] == pytest.approx(last.core_s / 3600)
    assert told["core_hours"] > told["core_hours_to_run"]
    assert told["disk_gb_to_run"] == pytest.approx(last.disk_mb / 1000)


def test_what_no_rate_tells_of_gets_a_stated_default(costs, config):
    config["models"]["mine"] = {"loader": "torch_hub", "name": "my_network"}
    config["detectors"]["my_detector"] = {}
    config["prompts"]["mine"] = {"kind": "text", "detector": "my_detector"}
    config["datasets"]["photo_textures"]["prompt"] = "mine"
    jobs = [
        Job("extract_features", {"dataset": "emoji_scenes", "model": "mine"}, True),
        Job("build_shard", {"dataset": "photo_textures", "shard": "0"}, True),
        Job("draw_conclusions", {}, True),
    ]
    told = plan_table(jobs, costs, {}).set_index("rule")
    assert told.rate["extract_features"] == "default, not known: network of mine"
    assert told.rate["build_shard"] == "default, not known: detector my_detector"
    assert told.rate["draw_conclusions"] == "default, not known: rule draw_conclusions"
    assert (told.core_hours > 0).all()


def test_every_rate_has_a_unit_and_a_source(rates):
    assert all(row.keys() == {"value", "unit", "source"} for row in rates["rates"].values())
    assert all(
        row["value"] > 0 and row["unit"] and row["source"] for row in rates["rates"].values()
    )


def test_every_network_and_segmenter_of_the_config_has_its_rates(config, costs):
    assert [name for name in config["models"] if costs.network(name) is costs.unknown] == []
    kinds = {row["kind"] for row in config["segmenters"].values()} - {"given"}
    assert kinds <= costs.segmenters.keys()
    assert config["detectors"].keys() <= costs.detectors.keys()
    assert {f"query_{row['kind']}" for row in config["prompts"].values()} <= costs.rates.keys()


@pytest.mark.parametrize("model", ["efficientnet_lite0", "supervised", "mae"])
def test_a_network_s_multiply_adds_are_those_that_torch_counts(config, costs, model):
    import timm
    import torch
    import torchvision
    from torch.utils.flop_counter import FlopCounterMode

    row, told = config["models"][model], costs.network(model)
    with torch.device("meta"):
        if row["loader"] == "timm":
            network = timm.create_model(row["name"], pretrained=False, num_classes=0).eval()
        else:
            network = torchvision.models.get_model(row["name"], weights=None).eval()
            network.fc = torch.nn.Identity()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shape = network(torch.empty(1, 3, 224, 224, device="meta")).shape
    assert counter.get_total_flops() / 2e9 == pytest.approx(told["gmacs"], abs=0.001)
    assert shape[1] == told["dimensions"]
    parameters = sum(tensor.numel() for tensor in network.parameters())
    assert parameters / 1e6 == pytest.approx(told["parameters"], abs=0.06)


def test_a_data_set_s_size_is_its_manifest_s_else_its_row_s_else_its_folder_s(rates, tmp_path):
    rates, manifest = rates["rates"], tmp_path / "manifest.csv"
    row = {"kind": "cifar100", "n_images": 600, "n_classes": 100, "images_per_class": 5}
    assert dataset_size(row, manifest, rates) == Size(500, 100, "config")
    for name in ("cats/1.jpg", "cats/2.PNG", "cats/notes.txt", "dogs/1.jpg", "masks/cats/1.png"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).touch()
    folder = {"kind": "folder", "root": str(tmp_path / "own")}
    assert dataset_size(folder, manifest, rates) == Size(3, 2, "folder")
    absent = {"kind": "folder", "root": str(tmp_path / "absent")}
    assert dataset_size(absent, manifest, rates) == Size(10_000, 100, "default")
    pd.DataFrame({"image_id": ["a", "b"], "label": [0, 0]}).to_csv(manifest, index=False)
    assert dataset_size(row, manifest, rates) == Size(2, 1, "manifest")


def test_a_job_is_listed_once_and_is_to_run_if_one_of_its_files_is():
    listing = (
        "output_file\tdate\trule\tlog-file(s)\tstatus\tplan\n"
        "out/cats/small.csv\t-\tfit\t-\tok\tno update\n"
        "out/cats/small.parquet\t-\tfit\t-\tmissing\tupdate pending\n"
        "out/cats/large.csv\t-\tfit\t-\tok\tno update\n"
    )
    outputs = {"fit": ["out/{dataset,cats|dogs}/{model}.csv", "out/{dataset}/{model}.parquet"]}
    small, large = ({"dataset": "cats", "model": name} for name in ("small", "large"))
    asked = {"mem_mb": 4000, "threads": 1}
    requests = {"out/cats/small.csv": asked, "out/cats/small.parquet": asked}
    assert listed_jobs(listing, outputs, requests) == [
        Job("fit", small, True, asked),
        Job("fit", large, False),
    ]
    with pytest.raises(ValueError, match="no output of rule fit has the path out/other"):
        listed_jobs(listing + "out/other\t-\tfit\t-\tok\tno update\n", outputs, {})
    with pytest.raises(ValueError, match="no listing of a study's outputs: 'Error"):
        listed_jobs("Error", outputs, {})


def test_the_time_on_cores_is_no_shorter_than_the_longest_job(costs):
    of = {"dataset": "emoji_scenes", "model": "dinov2_vitg14"}
    table = plan_table([Job("extract_features", of, True)], costs, {})
    text = described(table, costs.sizes, cores=64)
    hours = costs.of("extract_features", of).core_s / 3600
    assert f"{hours:.1f} h on one core, {hours:.1f} h on 64 cores" in text
    assert "240 of 16 classes in emoji_scenes (config)" in text


def job_of(rule, model, to_run=True, **asked):
    return Job(rule, {"dataset": "emoji_scenes", "model": model}, to_run, asked)


@pytest.fixture
def of_an_hour(costs):
    """Costs of jobs that take an hour on one core, a quarter of one on a GPU, and 1000 MB."""
    costs.of = lambda rule, wildcards: Cost(3600, 900 if rule in NETWORKS else 0, 0, 1000)
    return costs


def test_only_a_rule_that_asks_for_less_than_its_largest_job_takes_is_told_to_ask(of_an_hour):
    jobs = [
        job_of("fit_probes", "pixels", mem_mb=1600, runtime=77),
        job_of("fit_probes", "swav", mem_mb=1600, runtime=85),
        job_of("count_neighbors", "pixels", mem_mb=1599, runtime=79),
        job_of("count_neighbors", "swav", mem_mb=2310, runtime=79),
        job_of("measure_similarity", "pixels", mem_mb=1600, runtime=78),
        job_of("measure_similarity", "swav", to_run=False, mem_mb=1, runtime=1),
        job_of("embed_umap", "swav"),
    ]
    # 60 minutes and 1000 MB times 1.3, and 300 MB for Snakemake; never less than what is asked now
    assert short_requests(jobs, of_an_hour, {}) == {
        "fit_probes": {"runtime": 90},
        "count_neighbors": {"mem_mb": 2400},
    }


def test_minutes_are_those_on_the_threads_or_the_gpu_that_a_job_asks_for(of_an_hour):
    def told(rule, **asked):
        return short_requests([job_of(rule, "swav", runtime=1, **asked)], of_an_hour, {})[rule]

    assert told("extract_features", gpu=False) == {"runtime": 80}
    assert told("extract_features", gpu=True) == {"runtime": 20}
    assert told("fit_probes", gpu=True, threads=1) == {"runtime": 80}
    assert told("fit_probes", gpu=False, threads=4) == {"runtime": 20}


def test_what_was_measured_counts_in_what_should_be_asked_for(of_an_hour):
    paces = {("fit_probes", ""): Pace(2, 500, 1, False)}
    job = job_of("fit_probes", "swav", mem_mb=1600, runtime=78)
    short = short_requests([job], of_an_hour, paces)
    assert short == {"fit_probes": {"mem_mb": 2300, "runtime": 160}}


def test_the_lines_for_a_profile_keep_what_it_sets_already():
    text = requests_text(
        {"fit_probes": {"runtime": 90}, "extract_features": {"mem_mb": 7600}},
        {"extract_features": {"gpu": 1, "mem_mb": "1000 * attempt"}, "extract_part": {"gpu": 1}},
    )
    sentence, lines = text.split("\n\n")
    assert "fit_probes, extract_features ask a cluster for less than 1.3 times" in sentence
    assert yaml.safe_load(lines) == {
        "set-resources": {
            "extract_features": {"gpu": 1, "mem_mb": "7600 * attempt"},
            "extract_part": {"gpu": 1},
            "fit_probes": {"runtime": "90 * attempt"},
        }
    }
    assert requests_text({}, {}) == "Asked:   every job asks for 1.3 times what it takes, or more\n"


def add_imagenet(config):
    """Have the study be of ImageNet, of which nothing is there."""
    config["datasets"]["imagenet"] = {
        "label": "ImageNet", "kind": "torchvision", "name": "ImageNet", "n_images": 1_281_167,
        "n_classes": 1000, "segmenter": "mobile_sam", "prompt": "box", "shards": 256,
    }  # fmt: skip
    config["studies"]["minute"]["datasets"] = ["imagenet"]


def test_the_lines_of_a_plan_in_a_profile_raise_what_jobs_ask_for(root, tmp_path):
    shutil.copy(root / "tests/study/config.yaml", tmp_path)
    study = Study(root, tmp_path)
    study.edit_config(add_imagenet)
    profile = tmp_path / "profile/config.yaml"
    profile.parent.mkdir()
    profile.write_text("set-resources: {extract_features: {gpu: 1}}\n")
    told = study.run("plan", "--workflow-profile", profile.parent)
    lines = re.search(r"^set-resources:\n(?: .*\n)+", told, flags=re.MULTILINE).group()
    profile.write_text(lines)
    asked = yaml.safe_load(lines)["set-resources"]
    output = study.run("--dry-run", "--workflow-profile", profile.parent)
    resources = dict(
        re.findall(r"^rule (\w+):\n(?: .*\n)*? *resources: (.*)$", output, re.MULTILINE)
    )
    assert asked.pop("extract_features") == {"gpu": 1}
    assert "gpu=1" in resources["extract_features"]
    assert asked["write_manifest"].keys() == {"mem_mb", "runtime"}
    for rule, row in asked.items():
        for name, amount in row.items():
            assert f"{name}={amount.removesuffix(' * attempt')}" in resources[rule].split(", ")
    again = study.run("plan", "--workflow-profile", profile.parent)
    assert "every job asks for 1.3 times what it takes, or more" in again


def test_a_study_of_the_size_of_imagenet_is_planned_before_anything_is_there(root, tmp_path):
    shutil.copy(root / "tests/study/config.yaml", tmp_path)
    study = Study(root, tmp_path)
    study.edit_config(add_imagenet)
    output = study.run("plan")
    table = pd.read_csv(tmp_path / "results/minute/plan.csv").set_index("rule")
    assert "1,281,167 of 1000 classes in imagenet (config)" in output
    assert table.jobs_to_run["build_shard"] == 256
    assert (table.jobs == table.jobs_to_run).all()
    # 1.28 million images of 70 numbers in five variants, and shards of at least their masks' bits
    assert table.disk_gb_to_run["extract_features"] == pytest.approx(1.8, abs=0.4)
    assert table.disk_gb_to_run["build_shard"] > 1.281167e6 * 224 * 28 / 1e9
    assert table.core_hours_to_run["build_shard"] > 50
    assert not (tmp_path / "results/manifests").exists()
