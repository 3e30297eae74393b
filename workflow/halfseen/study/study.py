"""A study of the configuration: its rows, and every file that it needs, with what made it."""

from functools import cache, cached_property
from pathlib import Path

import yaml

from halfseen.circles import MASKED, has_doses
from halfseen.study.artifacts import PART, RULES, Artifact, digest
from halfseen.study.code import PACKAGE, Code
from halfseen.study.fingerprints import expanded, folder_fingerprint

SCRIPTS = PACKAGE.parent / "scripts"
RESOURCES = PACKAGE.parent / "resources"
# The tables that a study selects from.
SELECTED = ("datasets", "models", "variants", "measures", "probes")
# Keys of a data set's row that say how its images are screened, {key: argument of `screen`}, and
# those that say what is done with them; the others say what its images are.
SCREENING_KEYS = {
    "on_bad_image": "on_bad_image",
    "near_duplicates": "duplicates",
    "crops_of": "crops_of",
}
USE_KEYS = {
    "segmenter",
    "prompt",
    "second_prompt",
    "segment_on",
    "mask_note",
    "shards",
    "extraction_shards",
    "archives",
    "root",
}
# Keys of a model's and a segmenter's row that say how something is computed, not what.
HOW_KEYS = {"weights", "batch_size", "compile", "device", "folder"}
# What a job of each rule asks for at first: MB, and minutes.
REQUESTS = {
    "fetch_dataset": (2000, 120),
    "write_manifest": (4000, 120),
    "build_shard": (4000, 240),
    "assess_masks": (2000, 60),
    "extract_features": (4000, 240),
    "extract_part": (4000, 240),
    "gather_features": (4000, 60),
    "fit_probes": (4000, 480),
    "compare_probes": (8000, 120),
    "measure_similarity": (8000, 60),
    "compare_models": (8000, 120),
    "count_neighbors": (2000, 60),
    "embed_umap": (8000, 240),
}
# What a segmenter needs beside MobileSAM's: weights, and activations at 1024 px.
NETWORK_MB = {"sam_vit_h": 12000, "sam_vit_l": 8000, "sam_vit_b": 4000}
DETECTOR_MB = 4000
# In the place of a hash that nobody knows before the first download.
UNKNOWN = "unknown"
# Measures of the controls and of the map, whatever a study selects.
ALWAYS_MEASURED = {"angular_procrustes", "debiased_cka", "linear_cka"}
FIGURE_MEASURES = {"figure2_cca": "mean_squared_cca", "figure3_cka": "linear_cka"}


# Methods of `Study` whose answers are kept: they hash folders, code and rows.
CACHED = (
    "dataset", "manifest", "shard", "masks", "features", "probes", "similarity", "neighbors",
    "umap", "probe_comparison", "model_comparison", "_images", "_image_code", "_masking",
    "_fingerprint",
)  # fmt: skip


class Study:
    """The study `name` of a checked configuration `config` without labels.

    `results` is the folder of all results. Nothing is computed or read before it is asked for. What
    depends on a folder of the user's own raises MissingFolderError where that is not there.
    """

    def __init__(self, config, name=None, results="results", code=None):
        self.config, self.name, self.results = config, name or config["study"], results
        self.selected = config["studies"][self.name]
        self.datasets, self.models = self.selected["datasets"], self.selected["models"]
        self.variants, self.protocols = self.selected["variants"], self.selected["probes"]
        self._code = code or Code()
        for name in CACHED:
            setattr(self, name, cache(getattr(self, name)))

    # Rows

    def rows(self, table):
        """{name: row} of what the study selects from a table, in its order."""
        return {name: self.config[table][name] for name in self.selected[table]}

    def column(self, table, key):
        """{name: value of a key} of the rows that the study selects from a table."""
        return {name: row[key] for name, row in self.rows(table).items()}

    @cached_property
    def roles(self):
        """{role: variant} of the roles that a variant of the study has."""
        rows = self.rows("variants")
        return {row["role"]: name for name, row in rows.items() if row["role"]}

    @property
    def whole(self):
        """The variant that shows the whole image; None where the study selects none."""
        return self.roles.get("whole")

    def first_measure(self, kind):
        """The first of the study's measures that is of a kind; None where it selects none."""
        rows = self.rows("measures").items()
        return next((name for name, row in rows if row["kind"] == kind), None)

    @property
    def has_transfer(self):
        """Whether the headline protocol is asked about other variants."""
        return bool(self.config["probes"][self.protocols[0]].get("transfer"))

    @property
    def has_doses(self):
        """Whether circles of several radii are among the variants."""
        return has_doses(self.rows("variants"))

    # Hashes

    @cached_property
    def locks(self):
        """{table: {name: entry}} of the files that record hashes at the first download."""
        paths = {table: RESOURCES / f"{table}.lock.yaml" for table in ("weights", "archives")}
        return {
            table: (yaml.safe_load(path.read_text("utf-8")) or {}) if path.is_file() else {}
            for table, path in paths.items()
        }

    def sha256(self, table, name):
        """The hash that a file of weights or an archive has, by its row or by the lock file."""
        known = self.config[table][name]["sha256"] or self.locks[table].get(name, {}).get("sha256")
        return known or UNKNOWN

    def weights(self):
        """The names of the weights of the study's models, segmenters and detectors, each once."""
        datasets = self.rows("datasets").values()
        rows = [*self.rows("models").values()]
        rows += [self.config["segmenters"][row["segmenter"]] for row in datasets]
        names = [row["weights"] for row in rows if row.get("weights")]
        names += [
            name
            for row in datasets
            for files in self.detector_files(row).values()
            for name in files.values()
        ]
        return list(dict.fromkeys(names))

    def without_hash(self):
        """The names of the study's weights and archives whose hash nobody knows yet."""
        archives = [
            name for row in self.rows("datasets").values() for name in row.get("archives", [])
        ]
        return {
            table: [name for name in names if self.sha256(table, name) == UNKNOWN]
            for table, names in (("weights", self.weights()), ("archives", archives))
        }

    def weight_path(self, name):
        """The path of a file of weights."""
        return f"{self.results}/weights/{name}.ckpt"

    def archive_path(self, name):
        """The path of an archive."""
        return f"{self.results}/archives/{name}.archive"

    def _weighed(self, row):
        """A row as it counts: how it computes left out, the hash of its weights for their name."""
        counted = {key: value for key, value in row.items() if key not in HOW_KEYS}
        name = row.get("weights")
        if name:
            counted["sha256"] = self.sha256("weights", name)
        return counted

    def _code_of(self, stage, *kinds):
        script = SCRIPTS / f"{RULES[stage]}.py"
        return self._code.definitions(script, *(f"halfseen.{kind}" for kind in kinds))

    def _fingerprint(self, folder, name):
        index = Path(self.results) / "fingerprints" / f"{name}.json"
        return folder_fingerprint(expanded(folder), index)

    # What a data set is made from

    def dataset(self, dataset):
        """The folder that a data set is fetched to; None where it needs none or has one."""
        row = self.config["datasets"][dataset]
        if row.get("root") or not (row.get("archives") or row["kind"] == "torchvision"):
            return None
        parameters = {key: row[key] for key in ("kind", "name", "parts") if key in row}
        unpacked = []
        for name in row.get("archives", []):
            archive = self.config["archives"][name]
            unpacked.append(
                {"into": archive["into"], "nested": archive["nested"]}
                | {"sha256": self.sha256("archives", name)}
            )
        paths = [self.archive_path(name) for name in row.get("archives", [])]
        return self._artifact(
            "datasets",
            {"dataset": dataset},
            parameters | {"archives": unpacked},
            self._code_of("datasets"),
            fetched={"archives": paths},
            job={"source": parameters, "archives": unpacked, "offline": self.config["offline"]},
        )

    def _images(self, dataset):
        """What a data set's images depend on: the rows, the files and the seed."""
        row = self.config["datasets"][dataset]
        counted = {
            key: row[key] for key in row if key not in USE_KEYS and key not in SCREENING_KEYS
        }
        folder = self.dataset(dataset)
        return {
            "source": counted,
            "files": self._fingerprint(row["root"], dataset) if row.get("root") else None,
            "fetched": folder and folder.key,
            "on_bad_image": row.get("on_bad_image"),
            "seed": self.config["seed"],
        }

    def _source(self, dataset):
        """The arguments of `open_dataset`, but for `folder`."""
        row = self.config["datasets"][dataset]
        skipped = (USE_KEYS | SCREENING_KEYS.keys()) - {"root"}
        return {key: row[key] for key in row if key not in skipped}

    def _folder(self, dataset):
        folder = self.dataset(dataset)
        return {"folder": folder} if folder else {}

    def manifest(self, dataset):
        """The images of a data set with their classes, groups and folds."""
        row = self.config["datasets"][dataset]
        screening = {argument: row[key] for key, argument in SCREENING_KEYS.items() if key in row}
        return self._artifact(
            "manifests",
            {"dataset": dataset},
            {
                "images": self._images(dataset),
                "screening": screening,
                "folds": self.config["folds"],
            },
            self._code_of("manifests", f"datasets.kinds.KINDS[{row['kind']}]"),
            inputs=self._folder(dataset),
            job={
                "source": self._source(dataset),
                "screening": screening,
                "seed": self.config["seed"],
                "folds": self.config["folds"],
            },
        )

    def _masking(self, dataset):
        """What a data set's masks depend on beside its images, and the code that makes them."""
        row = self.config["datasets"][dataset]
        segmenter = self.config["segmenters"][row["segmenter"]]
        counted = {"segmenter": self._weighed(segmenter)}
        kinds = [f"datasets.kinds.KINDS[{row['kind']}]"]
        if segmenter["kind"] == "given":
            folder = segmenter["folder"]
            counted["files"] = folder and self._fingerprint(folder, f"{dataset}_masks")
        else:
            prompts = self.prompts(row)
            counted |= {"prompts": prompts, "segment_on": row["segment_on"]}
            counted["detectors"] = {
                name: {file: self.sha256("weights", weights) for file, weights in files.items()}
                for name, files in self.detector_files(row).items()
            }
            kinds.append(f"segmenters.SEGMENTERS[{segmenter['kind']}]")
            for prompt in prompts:
                steps = (prompt["kind"], *prompt["fallback"])
                kinds += [self._step(step) for step in steps]
        return counted, self._code_of("shards", *dict.fromkeys(kinds))

    def _step(self, kind):
        drawn = ("filled_box", "disc", "empty", "full")
        return f"prompts.{'DRAWN' if kind in drawn else 'PROMPTS'}[{kind}]"

    def prompts(self, row):
        """The rows of the prompts of a data set's row: the first, and the second if it has one."""
        return [self.config["prompts"][row[key]] for key in ("prompt", "second_prompt") if row[key]]

    def detector_files(self, row):
        """{detector: {file's name: name of its weights}} of those that a data set's prompts ask."""
        if "weights" not in self.config["segmenters"][row["segmenter"]]:
            return {}
        names = [prompt["detector"] for prompt in self.prompts(row) if prompt["kind"] == "text"]
        return {name: self.config["detectors"][name]["weights"] for name in names}

    def shard(self, dataset, shard):
        """A share of a data set's images, cropped, with their masks."""
        row = self.config["datasets"][dataset]
        segmenter = self.config["segmenters"][row["segmenter"]]
        masking, code = self._masking(dataset)
        detectors = {
            name: {
                file: {"path": self.weight_path(weights), "sha256": self.sha256("weights", weights)}
                for file, weights in files.items()
            }
            for name, files in self.detector_files(row).items()
        }
        network = segmenter | {"sha256": masking["segmenter"].get("sha256")}
        fetched = [each["path"] for files in detectors.values() for each in files.values()]
        if "weights" in segmenter:
            network["weights"] = self.weight_path(segmenter["weights"])
            fetched = [network["weights"], *fetched]
        second = row["second_prompt"]
        return self._artifact(
            "shards",
            {"dataset": dataset, "shard": int(shard)},
            {"masking": masking, "n_shards": row["shards"]},
            code,
            inputs={"manifest": self.manifest(dataset)} | self._folder(dataset),
            fetched={"weights": fetched},
            job={
                "source": self._source(dataset),
                "seed": self.config["seed"],
                "segmenter": network,
                "masking": {
                    "prompt": self.config["prompts"][row["prompt"]],
                    "second_prompt": self.config["prompts"][second] if second else None,
                    "segment_on": row["segment_on"],
                },
                "detectors": detectors,
                "n_shards": row["shards"],
            },
        )

    def shards(self, dataset):
        """All shards of a data set."""
        n_shards = self.config["datasets"][dataset]["shards"]
        return [self.shard(dataset, number) for number in range(n_shards)]

    def masks(self, dataset):
        """The table of a data set's masks."""
        passing = self.config["passing_masks"]
        return self._artifact(
            "masks",
            {"dataset": dataset},
            {"passing": passing},
            self._code_of("masks"),
            inputs={"manifest": self.manifest(dataset), "shards": self.shards(dataset)},
            job={"passing": passing},
        )

    # Representations and what is made of them

    def variant_keys(self, dataset, model):
        """{variant: key} of the representations of each, whichever others stand beside it.

        Variants that do not look at the object's mask do not depend on the masks, and none depends
        on the folds or on how the images are shared out over jobs.
        """
        row = self.config["models"][model]
        images = [self._images(dataset), self._image_code(dataset)]
        masking, code = self._masking(dataset)
        keys = {}
        for name, variant in self._looks().items():
            is_masked = variant["keep"] in MASKED
            keys[name] = digest(
                [
                    {"model": self._weighed(row), "variant": variant, "images": images},
                    {"masks": [masking, code] if is_masked else None, "seed": self.config["seed"]},
                    self._code_of(
                        "features",
                        f"networks.LOADERS[{row['loader']}]",
                        f"variants.KEEP[{variant['keep']}]",
                    ),
                ]
            )
        return keys

    def _looks(self):
        """The rows of the study's variants without their roles, which change no picture."""
        return {
            name: {key: value for key, value in row.items() if key != "role"}
            for name, row in self.rows("variants").items()
        }

    def _image_code(self, dataset):
        kind = self.config["datasets"][dataset]["kind"]
        return self._code.definitions(
            "halfseen.segmentation.picture_of", f"halfseen.datasets.kinds.KINDS[{kind}]"
        )

    def features(self, dataset, model):
        """The representations of a data set by a model, a group per variant."""
        row, keys = self.config["models"][model], self.variant_keys(dataset, model)
        keeps = {variant["keep"] for variant in self.rows("variants").values()}
        names = [row["weights"]] if row.get("weights") else []
        network = row | {"sha256": self.sha256("weights", names[0]) if names else None}
        if names:
            network["weights"] = self.weight_path(names[0])
        batch_size = network.pop("batch_size")
        n_parts = self.config["datasets"][dataset]["extraction_shards"]
        shards = self.shards(dataset)
        return self._artifact(
            "features",
            {"dataset": dataset, "model": model},
            {
                "model": self._weighed(row),
                "variants": self._looks(),
                "keys": keys,
                "seed": self.config["seed"],
            },
            self._code_of(
                "features",
                f"networks.LOADERS[{row['loader']}]",
                *sorted(f"variants.KEEP[{keep}]" for keep in keeps),
            ),
            inputs={"manifest": self.manifest(dataset), "shards": shards},
            fetched={"weights": [self.weight_path(name) for name in names]},
            job={
                "model": network,
                "batch_size": batch_size,
                "variants": self._looks(),
                "keys": keys,
                "seed": self.config["seed"],
                "n_parts": n_parts,
                "shard_keys": {shard.path("shard"): shard.key for shard in shards},
            },
        )

    def parts(self, dataset, model):
        """The paths of the parts that several jobs extract; none where one job does it all."""
        n_parts = self.config["datasets"][dataset]["extraction_shards"]
        made = self.features(dataset, model)
        names = made.names | {"key": made.key}
        return [
            f"{self.results}/{PART.format(**names, part=f'{k}of{n_parts}')}"
            for k in range(n_parts)
            if n_parts > 1
        ]

    def probes(self, dataset, model):
        """The probes of a model on a data set by every protocol."""
        protocols = self.rows("probes")
        kinds = sorted({row["kind"] for row in protocols.values()})
        parameters = {"variants": self.variants, "protocols": protocols}
        parameters |= {name: self.config[name] for name in ("solver", "seed")}
        return self._of_features(
            "probes", dataset, model, parameters, *(f"probes.PROTOCOLS[{kind}]" for kind in kinds)
        )

    def similarity(self, dataset, model):
        """The similarities of the variants of a data set under a model."""
        parameters = {"variants": self.variants, "roles": self.roles}
        parameters |= {"measures": self.rows("measures")}
        parameters |= {name: self.config[name] for name in ("similarity", "seed")}
        parameters["level"] = self.config["bootstrap"]["level"]
        return self._of_features("similarity", dataset, model, parameters, *self._measure_kinds())

    def neighbors(self, dataset, model):
        """The neighbors of a data set's variants under a model."""
        parameters = {"variants": self.variants, "whole": self.whole}
        parameters |= {name: self.config[name] for name in ("neighbors", "bootstrap", "seed")}
        return self._of_features("neighbors", dataset, model, parameters)

    def _of_features(self, stage, dataset, model, parameters, *kinds):
        features = self.features(dataset, model)
        return self._artifact(
            stage,
            {"dataset": dataset, "model": model},
            parameters,
            self._code_of(stage, *kinds),
            inputs={"manifest": self.manifest(dataset), "features": features},
            job=parameters | {"features_key": features.key},
        )

    def _measure_kinds(self):
        local = ("mutual_neighbors", "rbf_cka", "cross_validated_cca")
        kinds = {row["kind"] for row in self.rows("measures").values()} | ALWAYS_MEASURED
        return sorted(
            f"{'similarity_tables.LOCAL' if kind in local else 'measures.MEASURES'}[{kind}]"
            for kind in kinds
        )

    def _of_models(self, make, dataset):
        return [make(dataset, model) for model in self.models]

    def probe_comparison(self, dataset):
        """How sure the probes of a data set are, and how they differ."""
        parameters = {"roles": self.roles}
        parameters |= {name: self.config[name] for name in ("bootstrap", "seed")}
        return self._artifact(
            "probe_comparisons",
            {"dataset": dataset},
            parameters,
            self._code_of("probe_comparisons"),
            inputs={"predictions": self._of_models(self.probes, dataset)},
            job=parameters,
        )

    def model_comparison(self, dataset):
        """Every representation of a data set against every other."""
        features = self._of_models(self.features, dataset)
        parameters = {
            "models": self.models,
            "variants": self.variants,
            "measures": self.rows("measures"),
            "picture": self._picture(),
            "protocol": self.protocols[0],
        }
        return self._artifact(
            "model_comparisons",
            {"dataset": dataset},
            parameters,
            self._code_of("model_comparisons", *self._measure_kinds()),
            inputs={
                "manifest": self.manifest(dataset),
                "features": features,
                "predictions": self._of_models(self.probes, dataset),
            },
            job=parameters | {"features_keys": [made.key for made in features]},
        )

    def _picture(self):
        """The model that is the pixels themselves, and the variant that shows all of them."""
        names = [name for name, row in self.rows("models").items() if row["loader"] == "pixels"]
        return (names[0], self.whole) if names and self.whole else None

    def umap(self, dataset):
        """The joint UMAP of a data set's variants, for every model."""
        features = self._of_models(self.features, dataset)
        parameters = {"models": self.models, "variants": self.variants}
        parameters |= {name: self.config[name] for name in ("umap", "seed")}
        return self._artifact(
            "umap",
            {"dataset": dataset},
            parameters,
            self._code_of("umap"),
            inputs={"manifest": self.manifest(dataset), "features": features},
            job=parameters | {"features_keys": [made.key for made in features]},
        )

    # All of it

    def artifact(self, stage, wildcards):
        """The artifact of a stage whose names are among `wildcards`.

        Raises KeyError for names that the study does not select.
        """
        of_stage = {
            "datasets": self.dataset,
            "manifests": self.manifest,
            "shards": self.shard,
            "masks": self.masks,
            "features": self.features,
            "probes": self.probes,
            "probe_comparisons": self.probe_comparison,
            "similarity": self.similarity,
            "model_comparisons": self.model_comparison,
            "neighbors": self.neighbors,
            "umap": self.umap,
        }
        names = {name: wildcards[name] for name in wildcards if name not in ("key", "part")}
        return of_stage[stage](**names)

    def of_stage(self, stage, datasets=None):
        """All artifacts of a stage, by data set and model, in the study's order."""
        datasets = self.datasets if datasets is None else datasets
        if stage == "datasets":
            return [made for name in datasets if (made := self.dataset(name))]
        if stage == "shards":
            return [shard for name in datasets for shard in self.shards(name)]
        if stage in ("features", "probes", "similarity", "neighbors"):
            make = getattr(self, stage)
            return [make(name, model) for name in datasets for model in self.models]
        return [self.artifact(stage, {"dataset": name}) for name in datasets]

    def artifacts(self):
        """Every artifact that the study needs."""
        return [made for stage in RULES for made in self.of_stage(stage)]

    def paths(self, stage, file):
        """The paths of one kind of file of a stage, by data set and model."""
        return [made.path(file) for made in self.of_stage(stage)]

    def _artifact(self, stage, names, parameters, code, inputs=None, fetched=None, job=None):
        return Artifact(
            stage, names, parameters, code, inputs or {}, fetched or {}, job or {}, self.results
        )

    # What a job asks for

    def memory_mb(self, rule, dataset):
        """Memory in MB that a job of a rule asks for at its first attempt."""
        row = self.config["datasets"][dataset]
        memory = REQUESTS[rule][0]
        if rule == "build_shard":
            # The weights and the activations of a network.
            memory += NETWORK_MB.get(self.config["segmenters"][row["segmenter"]]["kind"], 0)
            memory += DETECTOR_MB * len(self.detector_files(row))
        if rule == "count_neighbors":
            # Three times what 2048 numbers an image take.
            n_images = row.get("n_images") or 10_000
            memory += int(3 * n_images * len(self.variants) * 2048 * 4 / 1e6)
        return memory

    def minutes(self, rule):
        """Minutes that a job of a rule asks for at its first attempt."""
        return REQUESTS[rule][1]
