import copy

import jsonschema
import pytest
import yaml

from halfseen.config import ConfigError, check_config, take_labels

# What a row must say, and no more, for every kind of row; `MINIMAL` names each of them once.
BOX = {"segmenter": "sam", "prompt": "box"}
COLOURS = {"mean": [0, 0, 0], "std": [1, 1, 1]}
POOLED = {"pooling": "average", **COLOURS}
COSTS = {"lowest": 0.01, "highest": 100, "count": 5}
MINIMAL = {
    "study": "small",
    "studies": {
        "small": {
            "title": "Small",
            "datasets": ["mine"],
            "models": ["resnet"],
            "variants": ["whole"],
            "measures": ["cka"],
            "probes": ["tuned"],
        }
    },
    "datasets": {
        "mine": {"label": "Mine", "kind": "folder", "root": "images", **BOX},
        "emoji": {"label": "E", "kind": "emoji_scenes", "n_images": 10, "n_classes": 2, **BOX},
        "stuff": {"label": "S", "kind": "photo_textures", "n_images": 10, "n_classes": 2, **BOX},
        "tiny": {"label": "T", "kind": "cifar100", "n_images": 10, "n_classes": 2, **BOX},
        "things": {"label": "C", "kind": "caltech101", "n_images": 10, "n_classes": 2, **BOX},
        "planes": {"label": "A", "kind": "aircraft", "n_images": 10, "n_classes": 2, **BOX},
        "patterns": {"label": "D", "kind": "dtd", "n_images": 10, "n_classes": 2, **BOX},
        "food": {"label": "F", "kind": "torchvision", "name": "Food101", **BOX},
    },
    "segmenters": {
        "sam": {"label": "SAM", "kind": "mobile_sam", "weights": "sam_file"},
        "ready": {"label": "Ready", "kind": "given"},
    },
    "detectors": {
        "finder": {
            "label": "Finder",
            "weights": {
                "config.json": "dino_file",
                "model.safetensors": "dino_file",
                "preprocessor_config.json": "dino_file",
                "tokenizer.json": "dino_file",
                "tokenizer_config.json": "dino_file",
            },
        }
    },
    "prompts": {
        "box": {"label": "Box", "kind": "box"},
        "point": {"label": "Point", "kind": "center_point"},
        "points": {"label": "Points", "kind": "grid"},
        "all": {"label": "All", "kind": "automatic"},
        "words": {"label": "Words", "kind": "text", "detector": "finder"},
    },
    "models": {
        "resnet": {"label": "R", "loader": "timm", "name": "resnet18", **POOLED},
        "swin": {"label": "S", "loader": "torchvision", "name": "swin_t", **POOLED},
        "dino": {
            "label": "D",
            "loader": "torch_hub",
            "repo": "a/b:v1",
            "name": "vit",
            "arguments": {},
            **POOLED,
        },
        "statistics": {"label": "I", "loader": "image_statistics", **COLOURS},
    },
    "variants": {
        "whole": {"label": "Whole", "keep": "everything"},
        "center": {"label": "Center", "keep": "center", "radius": 0.4},
    },
    "measures": {"cka": {"label": "CKA", "kind": "linear_cka"}},
    "probes": {
        "tuned": {"label": "T", "kind": "nested", "costs": {**COSTS}},
        "one": {"label": "1", "kind": "fixed", "cost": 1},
        "split": {"label": "S", "kind": "official", "standardize": False, "costs": {**COSTS}},
        "votes": {"label": "V", "kind": "knn", "k": 5, "temperature": 0.07},
    },
    "weights": {
        "sam_file": {"file": "s.pt", "licence": "MIT", "sources": [{"url": "https://x.org/s.pt"}]},
        "dino_file": {
            "file": "d.pt",
            "licence": "MIT",
            "sources": [{"package": "d", "version": "1", "member": "d.pt"}],
        },
    },
    "archives": {
        "tar": {"file": "a.tar", "licence": "MIT", "sources": [{"url": "https://x.org/a.tar"}]}
    },
}
MASKING = {"second_prompt": None, "segment_on": "crop"}
OBJECT = {"mask_note": "the object that the prompt means"}
TEXTURE = {
    "mask_note": "no object: a texture fills the picture, so the mask is any part of it, and a "
    "control without meaning"
}
SCREENED = {"on_bad_image": "fail", "near_duplicates": True}
PUBLISHED = {
    "shards": 1,
    "extraction_shards": 1,
    "root": None,
    "check_files": True,
    "images_per_class": None,
    **MASKING,
    **SCREENED,
}
# What the schema adds to it.
NETWORK = {
    "weights": None,
    "unwrap": [],
    "strip": "",
    "drop": [],
    "rename": [],
    "match": "names",
    "recipe": None,
    "batch_size": None,
    "precision": "float32",
    "compile": False,
}
DEFAULTS = {
    "seed": 20230602,
    "folds": 5,
    "local_folder": None,
    "offline": False,
    "remove_unneeded": False,
    "solver": {"tolerance": 1e-10, "max_iterations": 2000, "dtype": "float32"},
    "bootstrap": {"draws": 2000, "level": 0.95},
    "similarity": {
        "jackknife_groups": 8,
        "permutations": 199,
        "permuted_images": 5000,
        "removed_components": 10,
    },
    "probes.tuned": {"selection_tolerance": 1e-7, "transfer": True, "shuffled_control": True},
    "neighbors": {
        "k": [10, 5, 20, 50],
        "metrics": ["cosine", "euclidean"],
        "most_queries": 10000,
    },
    "passing_masks": {"min_predicted_iou": 0.88, "min_stability": 0.95},
    "atlas": {"max_mb": 25},
    "umap": {
        "share": 0.1,
        "at_least": 96,
        "n_neighbors": 15,
        "min_dist": 0.1,
        "metric": "cosine",
        "seeds": [0, 1, 2],
    },
    "datasets.mine": {"shards": 1, "extraction_shards": 1, **MASKING, **OBJECT, **SCREENED},
    "datasets.emoji": {
        "shards": 1,
        "extraction_shards": 1,
        "background_correlation": 0,
        "mask_note": "the drawn object, whose exact mask is known",
        **MASKING,
    },
    "datasets.stuff": {"shards": 1, "extraction_shards": 1, **MASKING, **TEXTURE},
    "datasets.tiny": {
        "archives": [],
        "mask_note": "the object in 32 x 32 px enlarged sevenfold: its outline is no finer than "
        "one of those pixels, and small parts are missing",
        **PUBLISHED,
    },
    "datasets.things": {
        "archives": [],
        "background_class": False,
        "crops_of": {"Faces_easy": "Faces"},
        "mask_note": "the object that names the class",
        **PUBLISHED,
    },
    "datasets.planes": {
        "archives": [],
        "crop_banner": True,
        "mask_note": "the aircraft",
        **PUBLISHED,
    },
    "datasets.patterns": {"archives": [], **PUBLISHED, **TEXTURE},
    "datasets.food": {
        "parts": [{}],
        "n_images": None,
        "n_classes": None,
        **PUBLISHED,
        **OBJECT,
    },
    "segmenters.sam": {
        "input_px": 1024,
        "precision": "float32",
        "device": "auto",
        "batch_size": None,
    },
    "segmenters.ready": {"folder": None},
    "prompts.box": {"jitter": [-0.05], "fallback": ["filled_box", "empty"]},
    "prompts.point": {"fallback": ["disc"]},
    "prompts.points": {"points_per_side": 3, "frame": [0, 0.1], "fallback": ["disc"]},
    "prompts.all": {"points_per_side": 16, "fallback": ["grid", "disc"]},
    "prompts.words": {
        "template": "{}.",
        "overrides": {},
        "box_threshold": 0.3,
        "text_threshold": 0.25,
        "jitter": [-0.05],
        "fallback": ["grid", "disc"],
    },
    "models.resnet": {"arguments": {}, "position_embedding": None, **NETWORK},
    "models.swin": {"arguments": {}, **NETWORK},
    "models.dino": {"without_head": False, **NETWORK},
    "models.statistics": {"batch_size": None},
    "variants.whole": {"radius": None, "fill": 0, "role": "whole"},
    "variants.center": {"fill": 0, "role": None},
    "measures.cka": {"components": None},
    "weights.sam_file": {"size_bytes": None, "sha256": None, "gated": None},
    "weights.dino_file": {"size_bytes": None, "sha256": None, "gated": None},
    "archives.tar": {"size_bytes": None, "md5": None, "sha256": None, "into": ".", "nested": []},
}


@pytest.fixture
def schema_path(root):
    return root / "workflow/schemas/config.schema.yaml"


@pytest.fixture
def schema(schema_path):
    return yaml.safe_load(schema_path.read_text())


@pytest.fixture
def shipped(root):
    return yaml.safe_load((root / "config.yaml").read_text())


@pytest.fixture
def minimal():
    return copy.deepcopy(MINIMAL)


@pytest.fixture
def problems(schema_path):
    """The lines, one per problem, of the error that a config raises; none for a valid one."""

    def told(config):
        try:
            check_config(config, schema_path)
        except ConfigError as error:
            first, *lines = str(error).splitlines()
            assert first == "config.yaml is not valid:"
            assert all(line.startswith("- ") for line in lines)
            return [line[2:] for line in lines]
        return []

    return told


def at(config, where):
    """The value at a dotted path, the keys of lists being numbers."""
    for key in where.split(".") if where else []:
        config = config[int(key) if isinstance(config, list) else key]
    return config


def test_the_shipped_config_is_valid(shipped, problems):
    assert problems(shipped) == []


def test_the_schema_is_one(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


def levels(schema, where="config.yaml", parent_closed=False):
    """(path, schema, whether unknown keys are forbidden) of every level that has properties."""
    closed = parent_closed or schema.get("additionalProperties") is False or by_kind(schema)
    if "properties" in schema:
        yield where, schema, closed
    parts = {f"{where}.{key}": part for key, part in schema.get("properties", {}).items()}
    parts |= {f"{where}.*": schema.get("additionalProperties"), f"{where}[]": schema.get("items")}
    for path, part in parts.items():
        if isinstance(part, dict):
            yield from levels(part, path)
    for number, part in enumerate(schema.get("allOf", [])):
        for branch in ("then", "else"):
            if branch in part:
                path = f"{where}<{number} {branch}>"
                # A branch of a closed level is closed; the branches of a kind close their level.
                inherited = closed and not by_kind(schema)
                yield from levels(part[branch], path, inherited)


def by_kind(schema):
    """Whether every value of the level's one key has a branch of its own that is closed."""
    if list(schema.get("properties", {})) not in (["kind"], ["loader"]):
        return False
    ((key, values),) = schema["properties"].items()
    covered = []
    for part in schema.get("allOf", []):
        if part["then"].get("additionalProperties") is False:
            condition = part["if"]["properties"][key]
            covered += condition.get("enum", [condition.get("const")])
    return sorted(covered) == sorted(values["enum"])


def test_every_level_of_the_schema_forbids_unknown_keys(schema):
    found = list(levels(schema))
    assert [where for where, _, closed in found if not closed] == []
    reached = {where.removeprefix("config.yaml") for where, _, _ in found}
    assert reached >= {"", ".umap", ".studies.*", ".weights.*.sources[]", ".models.*<1 then>"}


def test_every_property_has_a_description(schema):
    found = [
        (f"{where}.{key}", part)
        for where, level, _ in levels(schema)
        for key, part in level["properties"].items()
        if part is not True  # a stub: the level above describes it
    ]
    assert [path for path, part in found if not part.get("description", "").strip()] == []
    assert {path.split(".")[-1] for path, part in found} >= {"study", "radius", "drop", "url"}


def test_only_kind_and_loader_are_stubs(schema):
    stubs = {
        key
        for _, level, _ in levels(schema)
        for key, part in level["properties"].items()
        if part is True
    }
    assert stubs == {"kind", "loader"}


def mappings(value, where=""):
    """The dotted paths of all mappings in `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict):
        yield where
    for key, part in items:
        if isinstance(part, dict | list):
            yield from mappings(part, f"{where}.{key}".lstrip("."))


def test_an_unknown_key_is_refused_wherever_it_stands(minimal, schema_path, problems):
    check_config(minimal, schema_path)
    tables = {key for key, part in MINIMAL.items() if isinstance(part, dict)}
    free = {
        where
        for where in mappings(minimal)
        if where.endswith((".arguments", ".crops_of", ".parts.0", ".overrides"))
    }
    places = set(mappings(minimal)) - tables - free
    accepted = []
    for where in places:
        config = copy.deepcopy(minimal)
        at(config, where)["zzz"] = 7
        lines = problems(config)
        told = f"{where or 'config.yaml'}: unknown key 'zzz' (value 7); the keys are "
        accepted += [] if len(lines) == 1 and lines[0].startswith(told) else [(where, lines)]
    assert accepted == []
    assert places >= {"", "umap", "studies.small", "models.dino", "weights.sam_file.sources.0"}


def listed(*words):
    return ", ".join(map(repr, words))


DATASETS = listed(*MINIMAL["datasets"])
NAME_RULE = "must be lower case letters, digits and _, a letter first"
DELETED = object()
PROBLEMS = [
    (
        "neighbors",
        "metriks",
        ["cosine"],
        "neighbors: unknown key 'metriks' (value ['cosine']); the keys are 'k', 'metrics', "
        "'most_queries'; did you mean 'metrics'?",
    ),
    (
        "datasets.stuff",
        "n_image",
        96,
        "datasets.stuff: unknown key 'n_image' (value 96); the keys are 'kind', 'label', "
        "'segmenter', 'prompt', 'second_prompt', 'segment_on', 'mask_note', 'shards', "
        "'extraction_shards', 'n_images', 'n_classes'; did you mean 'n_images'?",
    ),
    (
        "solver",
        "folds",
        5,
        "solver: unknown key 'folds' (value 5); the keys are 'tolerance', 'max_iterations', "
        "'dtype'",
    ),
    (
        "probes.tuned.costs",
        "count",
        1,
        "probes.tuned.costs.count: 1 is less than the minimum of 2 (How many values.)",
    ),
    (
        "probes.votes",
        "cost",
        1,
        "probes.votes: unknown key 'cost' (value 1); the keys are 'kind', 'label', 'k', "
        "'temperature'",
    ),
    (
        "studies.small.probes",
        0,
        "tund",
        "studies.small.probes.0: 'tund' is no row of probes, which has 'tuned', 'one', 'split', "
        "'votes'; did you mean 'tuned'?",
    ),
    (
        "umap",
        "metric",
        "cosin",
        "umap.metric: 'cosin' is not one of 'cosine', 'euclidean'; did you mean 'cosine'?",
    ),
    (
        "datasets.mine",
        "prompt",
        "center",
        "datasets.mine.prompt: 'center' is no row of prompts, which has "
        "'box', 'point', 'points', 'all', 'words'",
    ),
    (
        "datasets.mine",
        "second_prompt",
        "boxes",
        "datasets.mine.second_prompt: 'boxes' is no row of prompts, which has "
        "'box', 'point', 'points', 'all', 'words'; did you mean 'box'?",
    ),
    (
        "datasets.mine",
        "segment_on",
        "corp",
        "datasets.mine.segment_on: 'corp' is not one of 'crop', 'source'; did you mean 'crop'?",
    ),
    (
        "prompts.all.fallback",
        0,
        "gird",
        "prompts.all.fallback.0: 'gird' is not one of 'grid', 'center_point', 'filled_box', "
        "'disc', 'empty', 'full'; did you mean 'grid'?",
    ),
    (
        "prompts.box",
        "fallback",
        ["grid", "filled_box"],
        "prompts.box.fallback: ['grid', 'filled_box'] does not contain items matching the given "
        "schema (What is tried in turn where no mask is allowed; one of disc, empty and full, "
        "which never fail, is among them.)",
    ),
    (
        "segmenters.ready",
        "weights",
        "sam_file",
        "segmenters.ready: unknown key 'weights' (value 'sam_file'); the keys are 'kind', 'label', "
        "'folder'",
    ),
    (
        "studies.small.models",
        0,
        "resnet50",
        "studies.small.models.0: 'resnet50' is no row of models, which has "
        "'resnet', 'swin', 'dino', 'statistics'; did you mean 'resnet'?",
    ),
    (
        "",
        "study",
        "smal",
        "study: 'smal' is no row of studies, which has 'small'; did you mean 'small'?",
    ),
    (
        "models.dino",
        "weights",
        "qqq",
        "models.dino.weights: 'qqq' is no row of weights, which has 'sam_file', 'dino_file'",
    ),
    (
        "segmenters.sam",
        "kind",
        "sam_vit_g",
        "segmenters.sam.kind: 'sam_vit_g' is not one of 'mobile_sam', 'sam_vit_h', 'sam_vit_l', "
        "'sam_vit_b', 'given'; did you mean 'sam_vit_l'?",
    ),
    (
        "detectors.finder.weights",
        "tokenizer.json",
        DELETED,
        "detectors.finder.weights: lacks the key 'tokenizer.json'",
    ),
    (
        "prompts.words",
        "detector",
        "findr",
        "prompts.words.detector: 'findr' is no row of detectors, which has 'finder'; "
        "did you mean 'finder'?",
    ),
    (
        "prompts.words",
        "template",
        "{name}.",
        "prompts.words.template: '{name}.' does not match '^[^{}]*(\\\\{\\\\}[^{}]*)?$' (What the "
        "detector is asked, {} being the class name in lower case without underscores; full stops "
        "part phrases.)",
    ),
    (
        "prompts.words",
        "box_threshold",
        1.3,
        "prompts.words.box_threshold: 1.3 is greater than the maximum of 1 (Score that a box must "
        "exceed; 0.3 is LangSAM's, which the paper used.)",
    ),
    ("measures", "CKA", MINIMAL["measures"]["cka"], f"measures: the name 'CKA' {NAME_RULE}"),
    ("variants", "1st", MINIMAL["variants"]["whole"], f"variants: the name '1st' {NAME_RULE}"),
    ("models", "vit-s", MINIMAL["models"]["swin"], f"models: the name 'vit-s' {NAME_RULE}"),
    ("variants.whole", "label", DELETED, "variants.whole: lacks the key 'label'"),
    ("models.swin", "loader", DELETED, "models.swin: lacks the key 'loader'"),
    (
        "weights.dino_file.sources.0",
        "member",
        DELETED,
        "weights.dino_file.sources.0: lacks the key 'member'",
    ),
    ("", "seed", -1, "seed: -1 is less than the minimum of 0 (Seed of every random choice.)"),
    (
        "variants.center",
        "radius",
        DELETED,
        "variants.center.radius: None is not of type 'number' (center and border need one)",
    ),
    ("", "umap", 3, "umap: 3 is not of type 'object' (The joint UMAP of all variants.)"),
    (
        "datasets.stuff",
        "n_classes",
        1,
        "datasets.stuff.n_classes: 1 is less than the minimum of 2 (Number of classes.)",
    ),
]


@pytest.mark.parametrize(
    ("where", "key", "value", "told"), PROBLEMS, ids=[told.split(";")[0] for *_, told in PROBLEMS]
)
def test_a_problem_is_told_with_its_place_its_value_and_the_nearest_valid_one(
    minimal, schema_path, problems, where, key, value, told
):
    check_config(minimal, schema_path)
    place = at(minimal, where)
    if value is DELETED:
        del place[key]
    else:
        place[key] = copy.deepcopy(value)
    assert problems(minimal) == [told]


def test_all_problems_are_told_by_place(minimal, schema_path, problems):
    check_config(minimal, schema_path)
    minimal["umap"]["metric"] = "cosin"
    minimal["studies"]["small"]["datasets"] = ["emojis", "mine", "birds"]
    del minimal["measures"]["cka"]["label"]
    del minimal["measures"]["cka"]["kind"]
    minimal["folds"] = 1
    assert problems(minimal) == [
        "folds: 1 is less than the minimum of 2 "
        "(Number of cross-validation folds, drawn once per data set (the paper, section 4.2).)",
        "measures.cka: lacks the key 'label', 'kind'",
        "studies.small.datasets.0: 'emojis' is no row of datasets, "
        f"which has {DATASETS}; did you mean 'emoji'?",
        f"studies.small.datasets.2: 'birds' is no row of datasets, which has {DATASETS}",
        "umap.metric: 'cosin' is not one of 'cosine', 'euclidean'; did you mean 'cosine'?",
    ]


@pytest.mark.parametrize("table", [None, 7, "resnet", ["resnet", "dino"]])
def test_a_table_that_is_none_is_told_and_so_is_every_row_that_it_lacks(minimal, problems, table):
    minimal["models"] = table
    assert problems(minimal) == [
        f"models: {table!r} is not of type 'object' "
        "(Frozen encoders, a row each; the keys depend on the loader.)",
        "studies.small.models.0: 'resnet' is no row of models, which has nothing",
    ]


def test_an_empty_config_lacks_every_table_that_a_study_needs(problems):
    tables = [key for key in MINIMAL if key not in ("study", "archives", "detectors")]
    assert problems({}) == [f"config.yaml: lacks the key {listed('study', *tables)}"]


def test_defaults_are_filled_in_at_every_level(minimal, schema_path):
    expected = copy.deepcopy(MINIMAL)
    for where, defaults in DEFAULTS.items():
        if isinstance(defaults, dict) and "." in where:
            at(expected, where).update(defaults)
        else:
            expected[where] = defaults
    check_config(minimal, schema_path)
    assert minimal == expected


def test_defaults_are_filled_in_within_lists(tmp_path):
    layers = {"type": "array", "items": {"properties": {"width": {"default": 3}}}}
    schema_path = tmp_path / "schema.yaml"
    schema_path.write_text(yaml.safe_dump({"properties": {"layers": layers}}))
    config = {"layers": [{}, {"width": 5}]}
    check_config(config, schema_path)
    assert config == {"layers": [{"width": 3}, {"width": 5}]}


def test_what_is_set_is_left_as_it_is(minimal, schema_path):
    minimal |= {"seed": 7, "solver": {"max_iterations": 9}, "local_folder": "/data"}
    minimal["models"]["dino"] |= {"drop": ["head."], "match": "order"}
    check_config(minimal, schema_path)
    assert (minimal["seed"], minimal["local_folder"]) == (7, "/data")
    assert minimal["solver"] == {"tolerance": 1e-10, "max_iterations": 9, "dtype": "float32"}
    assert minimal["models"]["dino"]["drop"] == ["head."]
    assert minimal["models"]["dino"]["match"] == "order"


def test_a_default_list_or_mapping_is_shared_by_no_two_rows(minimal, schema_path):
    minimal["models"]["dino_too"] = copy.deepcopy(minimal["models"]["dino"])
    check_config(minimal, schema_path)
    minimal["models"]["dino"]["drop"].append("head.")
    minimal["models"]["dino"]["arguments"]["img_size"] = 224
    minimal["models"]["swin"]["arguments"]["img_size"] = 256
    assert minimal["models"]["dino_too"]["drop"] == []
    assert minimal["models"]["dino_too"]["arguments"] == {}
    assert minimal["models"]["resnet"]["arguments"] == {}


def test_labels_are_taken_out_of_every_row_and_given_back_by_table(minimal):
    rows = copy.deepcopy(minimal)
    labels = take_labels(minimal)
    assert labels == {
        "datasets": {
            "mine": "Mine",
            "emoji": "E",
            "stuff": "S",
            "tiny": "T",
            "things": "C",
            "planes": "A",
            "patterns": "D",
            "food": "F",
        },
        "segmenters": {"sam": "SAM", "ready": "Ready"},
        "detectors": {"finder": "Finder"},
        "prompts": {
            "box": "Box",
            "point": "Point",
            "points": "Points",
            "all": "All",
            "words": "Words",
        },
        "models": {"resnet": "R", "swin": "S", "dino": "D", "statistics": "I"},
        "variants": {"whole": "Whole", "center": "Center"},
        "measures": {"cka": "CKA"},
        "probes": {"tuned": "T", "one": "1", "split": "S", "votes": "V"},
    }
    for table, names in labels.items():
        for name, label in names.items():
            assert minimal[table][name] | {"label": label} == rows[table][name]
            assert "label" not in minimal[table][name]


def test_every_table_whose_rows_have_labels_loses_them(shipped):
    take_labels(shipped)
    assert "label:" not in yaml.safe_dump(shipped)
