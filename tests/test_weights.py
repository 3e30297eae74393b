import argparse
import hashlib
import os

import pytest

from halfseen.weights import WrongBytesError, load_state_dict, verified

GOOD, WRONG = b"the right weights" * 1000, b"another file here" * 1000  # of one length


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_verified_gives_the_path_or_names_both_hashes_and_the_remedy(tmp_path):
    path = tmp_path / "tiny.pt"
    path.write_bytes(GOOD)
    assert verified(path, sha256(GOOD)) == path
    told = f"{path} has sha256 {sha256(GOOD)} where {sha256(WRONG)} was expected.*delete it"
    with pytest.raises(WrongBytesError, match=told):
        verified(path, sha256(WRONG))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_checkpoint_is_loaded(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    path = tmp_path / "tiny.pth.tar"
    weights = {"model": {"weight": torch.arange(3.0)}, "epoch": 7}
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_state_dict(path, sha256(path.read_bytes()))
    assert loaded["epoch"] == 7
    assert loaded["model"]["weight"].tolist() == [0, 1, 2]


def test_safetensors_are_known_by_their_content_whatever_the_name(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    path = tmp_path / "tiny.pt"
    save_file({"weight": torch.arange(3.0)}, path)
    loaded = load_state_dict(path, sha256(path.read_bytes()))
    assert loaded["weight"].tolist() == [0, 1, 2]


def test_torchscript_gives_its_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    from official_checkpoints import official_shapes, random_tensors, write_checkpoint

    path = tmp_path / "clip.pt"
    write_checkpoint("clip_vitb32", path)
    loaded = load_state_dict(path, sha256(path.read_bytes()))
    expected = random_tensors(official_shapes("clip_vitb32", "reduced"), seed=0)
    assert loaded.keys() == expected.keys() | {"input_resolution", "context_length", "vocab_size"}
    assert all(torch.equal(loaded[name], expected[name].half()) for name in expected)


@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_s_numbers_and_arrays_beside_the_tensors_are_data(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    import numpy as np

    path = tmp_path / "trained.torch"
    held = {"loss": np.float64(1.5), "steps": np.int64(7), "rates": np.arange(3.0)}
    torch.save(held | {"w": torch.ones(2)}, path, _use_new_zipfile_serialization=not legacy)
    if legacy:  # files of that age know numpy's module by its old name
        path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
        assert b"numpy.core.multiarray\nscalar" in path.read_bytes()
    loaded = load_state_dict(path, sha256(path.read_bytes()))
    assert (loaded["loss"], loaded["steps"], loaded["rates"].tolist()) == (1.5, 7, [0, 1, 2])


def test_the_object_that_is_refused_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "trained.pth"
    torch.save({"args": argparse.Namespace(lr=1), "w": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"as a pickled object \(argparse.Namespace\)"):
        load_state_dict(path, sha256(path.read_bytes()))


class Code:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_a_pickle_that_holds_code_is_refused_and_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    path, marker = tmp_path / "evil.pt", tmp_path / "code_was_run"
    torch.save({"weight": torch.ones(1), "hook": Code(marker)}, path)
    with pytest.raises(ValueError, match=f"{path} holds code.*will not be unpickled"):
        load_state_dict(path, sha256(path.read_bytes()))
    assert not marker.exists()


def test_a_changed_file_is_refused_before_anything_of_it_is_read(tmp_path):
    path = tmp_path / "tiny.pt"
    path.write_bytes(WRONG)
    with pytest.raises(WrongBytesError, match="where"):
        load_state_dict(path, sha256(GOOD))
