import re

import pytest
import yaml

from halfseen.choices import DIFFERS, OPEN, TOLD, read_choices
from halfseen.config import ConfigError, check_config

SETTINGS = {
    "folds": 5,
    "neighbors": {"k": [10, 5]},
    "models": {
        "swav": {"pooling": "average", "std": [0.228]},
        "mae": {"pooling": "class_token", "std": [0.229], "size": "base"},
    },
}


@pytest.fixture
def read(root, tmp_path):
    """A function that reads a file of these choices."""

    def read(*rows):
        choices = [{"choice": "a choice", "paper": "nothing"} | row for row in rows]
        (tmp_path / "choices.yaml").write_text(yaml.safe_dump({"choices": choices}))
        schema = root / "workflow/schemas/choices.schema.yaml"
        return read_choices(tmp_path / "choices.yaml", schema, SETTINGS)

    return read


def test_a_key_a_key_of_a_setting_of_all_rows_and_of_one_row_are_read(read):
    paths = ["folds", "neighbors.k", "models.pooling", "models.mae.pooling", "models.size"]
    (row,) = read({"ours": paths})
    assert [(each["values"], each["complete"]) for each in row["ours"]] == [
        ({"": 5}, True),
        ({"": [10, 5]}, True),
        ({"swav": "average", "mae": "class_token"}, True),
        ({"mae": "class_token"}, True),
        ({"mae": "base"}, False),
    ]


def test_a_row_that_the_study_does_not_have_says_nothing(read):
    (row,) = read({"ours": ["models.dino.pooling"]})
    assert row["ours"][0]["values"] == {}


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"ours": ["folds"], "told": 5}, TOLD),
        ({"ours": ["folds"], "told": 10}, DIFFERS),
        ({"ours": ["models.std"], "told": [0.229]}, DIFFERS),
        ({"ours": ["models.mae.std"], "told": [0.229]}, TOLD),
        ({"ours": ["folds"]}, OPEN),
    ],
)
def test_what_the_paper_tells_is_held_against_every_row(read, row, status):
    assert read(row)[0]["status"] == status


def test_a_misspelt_setting_is_named_with_the_nearest(read):
    with pytest.raises(ConfigError, match="a choice: 'model' is no setting.*did you mean 'models'"):
        read({"ours": ["model.pooling"]})
    with pytest.raises(ConfigError, match="unknown key 'word'.*did you mean 'words'"):
        read({"ours": ["folds"], "word": {}})


def test_every_setting_that_is_named_is_one_of_the_shipped_configuration(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    schema = root / "workflow/schemas/config.schema.yaml"
    check_config(config, schema)
    config["selected"] = config["studies"]["paper"]
    folder = root / "workflow"
    path, own_schema = folder / "resources/choices.yaml", folder / "schemas/choices.schema.yaml"
    rows = read_choices(path, own_schema, config)
    assert [row["choice"] for row in rows if not all(each["values"] for each in row["ours"])] == []


def test_what_is_open_is_what_the_readme_lists(root):
    rows = yaml.safe_load((root / "workflow/resources/choices.yaml").read_text())["choices"]
    readme = (root / "README.md").read_text()
    table = readme[readme.index("| open in the paper |") :].split("\n\n")[0].splitlines()[2:]
    listed = [re.match(r"\| (.*?) \|", line).group(1) for line in table]
    assert [row["choice"] for row in rows if "told" not in row] == listed
