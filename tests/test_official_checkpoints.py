import pickle

import pytest
import torch
from official_checkpoints import LAYOUTS, official_shapes, random_tensors, write_checkpoint


@pytest.mark.parametrize("name", ["swav", "mae"])
def test_one_seed_gives_one_file_and_another_seed_another(name, tmp_path):
    one, same, other = (tmp_path / file for file in ("one", "same", "other"))
    for path, seed in ((one, 3), (same, 3), (other, 4)):
        write_checkpoint(name, path, seed=seed)
    assert one.read_bytes() == same.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_swav_s_file_is_a_pickle_from_before_zip_archives_of_prefixed_tensors(tmp_path):
    path = tmp_path / "swav"
    assert write_checkpoint("swav", path) == {"width_per_group": 4}
    with open(path, "rb") as file:
        assert pickle.load(file) == torch.serialization.MAGIC_NUMBER
    tensors = torch.load(path, weights_only=True)
    assert {name.split(".")[0] for name in tensors} == {"module"}
    assert {"module.prototypes.weight", "module.projection_head.3.bias"} < tensors.keys()
    expected = random_tensors(official_shapes("swav", "reduced"), seed=0)
    assert all(torch.equal(tensors[f"module.{name}"], expected[name]) for name in expected)
    with pytest.raises(RuntimeError, match="mmap"):
        torch.load(path, mmap=True)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_reduced_file_has_the_layout_of_the_full_one(name):
    reduced, full = official_shapes(name, "reduced"), official_shapes(name, "full")
    assert reduced.keys() <= full.keys()
    assert all(len(reduced[key]) == len(full[key]) for key in reduced)


def test_batch_norms_have_statistics_that_training_mode_would_not_use(tmp_path):
    write_checkpoint("vicreg", tmp_path / "file")
    tensors = torch.load(tmp_path / "file", weights_only=True)
    assert tensors["bn1.running_mean"].std() > 0.1
    assert 0.5 <= tensors["bn1.running_var"].min() < tensors["bn1.running_var"].max() <= 1.5
