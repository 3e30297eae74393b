import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from small_atlas import HOSTILE, IMAGES_OF_A_CLASS, write_small_atlas

from halfseen.atlas import (
    first_of_each,
    mask_histograms,
    measure_families,
    packed,
    umap_points,
    with_chance,
)


class Elements(HTMLParser):
    """Every start tag of a page with its attributes, and the text of styles and scripts, by id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.script = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        raw = tag in ("script", "style")
        self.script = dict(attrs).get("id", tag) if raw else None

    def handle_data(self, text):
        if self.script:
            self.scripts[self.script] = self.scripts.get(self.script, "") + text

    def handle_endtag(self, tag):
        self.script = None


@pytest.fixture(scope="module")
def page(small_atlas):
    return Elements(small_atlas.path.read_text(encoding="utf-8"))


# The page


def test_nothing_is_loaded_from_anywhere_else(page):
    loading = {"src", "srcset", "data", "poster", "action", "background", "manifest"}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            if name in loading or (name == "href" and tag != "a"):
                assert value.startswith("data:"), (tag, name, value[:80])
    styles = page.scripts["style"] + "".join(a.get("style") or "" for _, a in page.tags)
    assert "url(" not in styles
    assert "@import" not in styles


def test_its_policy_forbids_every_source_but_the_page_itself(page):
    [policy] = [
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy


def test_a_hostile_class_name_stays_text(page):
    assert all("onerror" not in attributes for _, attributes in page.tags)
    records = json.loads(page.scripts["atlas-images"])
    assert HOSTILE in {record["class"] for record in records}
    assert json.loads(page.scripts["atlas-data"])["classes"]["scenes"][2] == HOSTILE
    assert set(page.scripts) == {"atlas-data", "atlas-images", "plotly", "script", "style"}


def test_the_same_study_gives_the_same_bytes(root, tmp_path, small_atlas):
    again = write_small_atlas(root, tmp_path)
    assert again.path.read_bytes() == small_atlas.path.read_bytes()


def test_the_values_of_the_page_are_those_of_the_tables(small_atlas, page):
    packed_table = json.loads(page.scripts["atlas-data"])["tables"]["similarity"]
    expected = small_atlas.tables["similarity"].similarity
    assert packed_table["similarity"] == pytest.approx(expected.tolist(), rel=1e-5)
    levels, codes = packed_table["variant_x"]["levels"], packed_table["variant_x"]["codes"]
    assert [levels[code] for code in codes] == small_atlas.tables["similarity"].variant_x.tolist()


def test_all_images_of_a_small_study_are_there_and_nothing_says_otherwise(small_atlas):
    assert small_atlas.shown == 5 * IMAGES_OF_A_CLASS
    assert "drawn evenly" not in small_atlas.path.read_text().split('<script type="application')[0]


# Less room


@pytest.fixture(scope="module")
def short(root, tmp_path_factory, small_atlas):
    """An atlas with room for about half of the images."""
    size = small_atlas.path.stat().st_size
    images = len(re.search('id="atlas-images">(.*?)</script>', small_atlas.path.read_text())[1])
    limit = (size - images / 2) / 1e6
    return limit, write_small_atlas(root, tmp_path_factory.mktemp("short"), max_mb=limit)


def test_a_page_keeps_to_its_size_and_says_how_many_images_of_how_many_it_holds(short):
    limit, small = short
    assert small.path.stat().st_size <= limit * 1e6
    assert 0 < small.shown < 5 * IMAGES_OF_A_CLASS
    text = " ".join(small.path.read_text(encoding="utf-8").split())
    assert f"This page holds {small.shown} of {5 * IMAGES_OF_A_CLASS} images, drawn evenly" in text


def test_what_there_is_room_for_is_balanced_over_the_classes(short):
    page = Elements(short[1].path.read_text(encoding="utf-8"))
    records = json.loads(page.scripts["atlas-images"])
    counts = pd.Series([(record["dataset"], record["class"]) for record in records]).value_counts()
    assert len(counts) == 5
    assert counts.max() - counts.min() <= 1


def test_a_study_whose_tables_alone_are_too_large_is_told_so(root, tmp_path):
    with pytest.raises(ValueError, match=r"more than the 100,000 of atlas: max_mb; allow more"):
        write_small_atlas(root, tmp_path, max_mb=0.1)


# Measures


def test_measures_that_differ_in_how_they_treat_chance_alone_are_one_family():
    measures = {
        "pc_held_out": {"kind": "cross_validated_cca", "components": 16},
        "cka_debiased": {"kind": "debiased_cka"},
        "pc": {"kind": "mean_squared_cca", "components": 16},
        "cka": {"kind": "linear_cka"},
        "all": {"kind": "mean_squared_cca", "components": None},
        "neighbors": {"kind": "mutual_neighbors", "k": 10},
        "neighbors_5": {"kind": "mutual_neighbors", "k": 5},
    }
    families = measure_families(measures, {name: name.upper() for name in measures})
    found = [
        (family["label"], [choice["measure"] for choice in family["choices"]])
        for family in families
    ]
    assert found == [
        ("PC", ["pc", "pc_held_out"]),
        ("CKA", ["cka", "cka_debiased"]),
        ("ALL", ["all"]),
        ("NEIGHBORS", ["neighbors"]),
        ("NEIGHBORS_5", ["neighbors_5"]),
    ]
    treatments = [choice["treatment"] for choice in families[1]["choices"]]
    assert treatments == ["biased", "debiased"]


def test_the_p_of_a_pair_stands_at_both_of_its_orders_and_nowhere_else():
    key = {"dataset": "d", "model": "m", "measure": "cka"}
    pairs = [("a", "a"), ("a", "b"), ("b", "a"), ("b", "c")]
    similarity = pd.DataFrame([key | {"variant_x": x, "variant_y": y} for x, y in pairs])
    calibration = pd.DataFrame(
        [
            key | {"variant_x": "a", "variant_y": "b", "permutes": permutes, "p": p}
            for permutes, p in [("freely", 0.005), ("within classes", 0.3)]
        ]
    )
    joined = with_chance(similarity, calibration)
    assert joined.p_freely.fillna(-1).tolist() == [-1, 0.005, 0.005, -1]
    assert joined.p_within_classes.fillna(-1).tolist() == [-1, 0.3, 0.3, -1]


def test_a_packed_table_gives_its_columns_back_and_what_is_empty_is_none():
    table = pd.DataFrame({"name": ["b", "a", "b"], "value": ["0.123456789", "", "-2"]})
    columns = packed(table, ["name", "lacking"], ["value", "absent"])
    assert columns == {
        "name": {"levels": ["b", "a"], "codes": [0, 1, 0]},
        "value": [0.123457, None, -2.0],
    }


# UMAP


def umap_table(n, models=("m", "n"), seeds=(0, 1)):
    rows = [
        {"dataset": "d", "model": model, "seed": seed, "variant": variant, "x": place + seed,
         "y": -place, "image_id": f"i{place:02}"}
        for model in models for seed in seeds for variant in ("v", "w") for place in range(n)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def ordered(places):
    ids = [f"i{place:02}" for place in places]
    return pd.DataFrame({"dataset": "d", "image_id": ids, "label_name": "c"})


def test_every_fit_has_a_point_of_every_shown_image_and_variant():
    found = umap_points(umap_table(4), ordered([2, 0, 3, 1]), 10**6)["d"]
    assert found["n"] == 4
    assert found["images"] == [[f"i0{place}", "c"] for place in range(4)]
    assert {(fit["model"], fit["seed"]) for fit in found["fits"]} == {
        (model, seed) for model in "mn" for seed in (0, 1)
    }
    [fit] = [fit for fit in found["fits"] if (fit["model"], fit["seed"]) == ("n", 1)]
    assert fit["x"] == {"v": [1, 2, 3, 4], "w": [1, 2, 3, 4]}
    assert fit["y"] == {"v": [0, -1, -2, -3], "w": [0, -1, -2, -3]}


def test_where_room_is_short_the_first_images_of_the_order_stay_in_every_fit():
    table = umap_table(10)
    whole = umap_points(table, ordered(range(10)), 10**6)["d"]
    assert len(whole["images"]) == 10
    found = umap_points(table, ordered([7, 1, 4, *range(10)][:9]), 4 * 2 * 16 * 3)["d"]
    assert [image_id for image_id, _ in found["images"]] == ["i01", "i04", "i07"]
    assert found["n"] == 10
    assert all(len(fit["x"]["w"]) == 3 for fit in found["fits"])


# Masks


def test_a_histogram_counts_every_mask_once_apart_from_those_without_a_value():
    masks = pd.DataFrame(
        {"dataset": "d", "fallback": ["", "", "none", ""], "iou": ["", "0.999", "", "1"],
         "predicted_iou": [0.0, 1.02, 0.5, 0.99], "stability": 0.5, "area": 0.02}
    )  # fmt: skip
    found = {row["column"]: row for row in mask_histograms(masks)}
    assert found["predicted_iou"]["own"] == [1] + [0] * 23 + [2]
    assert found["predicted_iou"]["fallback"] == [0] * 12 + [1] + [0] * 12
    assert (sum(found["iou"]["own"]), sum(found["iou"]["fallback"])) == (2, 0)
    masks["iou"] = ""
    assert [row["column"] for row in mask_histograms(masks)] == [
        "predicted_iou",
        "stability",
        "area",
    ]


def test_the_first_example_of_a_data_set_has_a_mask_that_passes_if_any_does():
    table = pd.DataFrame({"dataset": list("aaabb"), "passes": [0, 0, 1, 0, 0]})
    assert first_of_each(table, np.array([1, 4, 0, 2, 3])).tolist() == [2, 4]
