import pytest
from loopback import Site, served

from halfseen.downloads import DownloadError, WrongSizeError, discard_part, download, is_begun

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes: several chunks
CUT = 300_000


@pytest.fixture
def url(site):
    return site.add("file.bin", CONTENT)


@pytest.fixture
def remote(site, url):
    return site["file.bin"]


def left_halfway(remote, url, path):
    """A run that ended in the middle; the number of bytes that it kept."""
    remote.cuts = [CUT]
    with pytest.raises(DownloadError):
        download(url, path, retries=0)
    remote.ranges.clear()
    remote.sent = 0
    return path.with_name("file.bin.part").stat().st_size


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def test_brings_the_file_and_leaves_nothing_beside_it(url, path):
    assert download(url, path, size_bytes=len(CONTENT)) == path
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_cut_transfer_is_resumed_in_the_same_call(remote, url, path):
    remote.cuts = [CUT]
    download(url, path, backoff_s=0)
    assert path.read_bytes() == CONTENT
    assert [asked is None for asked in remote.ranges] == [True, False]


def test_a_later_run_asks_only_for_the_missing_bytes(remote, url, path):
    kept = left_halfway(remote, url, path)
    assert 0 < kept <= CUT
    assert not path.exists()
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert remote.ranges == [f"bytes={kept}-"]
    assert remote.sent == len(CONTENT) - kept


def test_a_file_that_changed_is_fetched_from_its_start(remote, url, path):
    left_halfway(remote, url, path)
    remote.content, remote.etag = CONTENT[::-1], '"v2"'
    download(url, path)
    assert path.read_bytes() == CONTENT[::-1]


def test_a_changed_file_is_noticed_even_if_the_server_ignores_if_range(remote, url, path):
    left_halfway(remote, url, path)
    remote.content, remote.etag, remote.minds_if_range = CONTENT[::-1], '"v2"', False
    download(url, path)
    assert path.read_bytes() == CONTENT[::-1]


def test_a_file_without_a_version_is_fetched_from_its_start(remote, url, path):
    remote.etag = None
    left_halfway(remote, url, path)
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert remote.ranges == [None]


def test_a_weak_etag_is_not_trusted_for_a_resumption(remote, url, path):
    remote.etag = 'W/"v1"'
    left_halfway(remote, url, path)
    download(url, path)
    assert remote.ranges == [None]


def test_the_part_of_another_address_is_not_continued(remote, url, path):
    left_halfway(remote, url, path)
    download(f"{url}?mirror", path)
    assert remote.ranges == [None]


def test_a_server_that_ignores_ranges_sends_it_all_again(remote, url, path):
    left_halfway(remote, url, path)
    remote.knows_ranges = False
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert len(remote.ranges) == 1


@pytest.mark.parametrize("wrong", ["bytes 0-511999/512000", "bytes 300000-999/1000", "nonsense"])
def test_an_answer_with_a_wrong_content_range_is_not_appended(remote, url, path, wrong):
    left_halfway(remote, url, path)
    remote.content_range = wrong
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert remote.ranges[1:] == [None]


def test_a_range_beyond_a_file_that_shrank_starts_afresh(remote, url, path):
    left_halfway(remote, url, path)
    remote.content, remote.minds_if_range = b"short", False
    download(url, path)
    assert path.read_bytes() == b"short"
    assert remote.ranges[1:] == [None]


def test_a_busy_server_is_asked_again_after_growing_pauses(remote, url, path, monkeypatch):
    pauses = []
    monkeypatch.setattr("halfseen.downloads.time.sleep", pauses.append)
    remote.statuses = [503, 429, 500]
    download(url, path, retries=3, backoff_s=2)
    assert path.read_bytes() == CONTENT
    assert pauses == [2, 4, 8]


def test_a_server_that_stays_busy_is_given_up_after_two_retries_by_default(
    remote, url, path, monkeypatch
):
    pauses = []
    monkeypatch.setattr("halfseen.downloads.time.sleep", pauses.append)
    remote.statuses = [503] * 9
    with pytest.raises(DownloadError, match=f"{url}.*503.*given up after 2 retries"):
        download(url, path)
    assert len(remote.ranges) == 3
    assert pauses == [1, 2]


def test_cuts_that_each_bring_something_new_do_not_use_up_the_retries(remote, url, path):
    remote.cuts = [130_000] * 5
    download(url, path, retries=1, backoff_s=0)
    assert path.read_bytes() == CONTENT


def test_cuts_that_bring_nothing_new_end_after_the_retries(remote, url, path):
    remote.etag, remote.cuts = None, [CUT] * 9
    with pytest.raises(DownloadError, match=f"{url} could not be downloaded: .*bytes.* are kept"):
        download(url, path, retries=2, backoff_s=0)
    assert len(remote.ranges) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_names_the_address_and_the_status(remote, url, path, status):
    remote.statuses = [status]
    with pytest.raises(DownloadError, match=f"{url} answered {status}.*correct the address"):
        download(url, path)
    assert len(remote.ranges) == 1
    assert list(path.parent.iterdir()) == []


def test_an_unreachable_host_is_named(path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(Site()) as gone:
        url = gone.address
    with pytest.raises(DownloadError, match=f"{url} could not be downloaded.*check the network"):
        download(url, path, retries=1, backoff_s=0)


def test_an_address_that_is_none_is_refused_at_once(path):
    with pytest.raises(DownloadError, match="correct the address"):
        download("file.bin", path)


def test_a_file_of_another_length_is_refused_before_it_is_fetched(remote, url, path):
    path.write_bytes(b"good")
    with pytest.raises(WrongSizeError, match=f"{url} has 512,000 bytes where 7 were expected"):
        download(url, path, size_bytes=7)
    assert path.read_bytes() == b"good"
    assert list(path.parent.iterdir()) == [path]


def test_an_unannounced_length_is_held_to_the_expected_one(remote, url, path):
    remote.tells_length = False
    download(url, path, size_bytes=len(CONTENT))
    assert path.read_bytes() == CONTENT
    with pytest.raises(WrongSizeError, match="512,000 bytes where 7"):
        download(url, path, size_bytes=7)
    remote.cuts = [CUT]
    download(url, path, size_bytes=len(CONTENT), backoff_s=0)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("damage", ["", "{", "[1]", "\xff"])
def test_bytes_of_which_nothing_is_known_are_fetched_again(remote, url, path, damage):
    left_halfway(remote, url, path)
    path.with_name("file.bin.part.json").write_text(damage, encoding="latin-1")
    assert not is_begun(url, path)
    download(url, path)
    assert path.read_bytes() == CONTENT
    assert remote.ranges == [None]


def test_a_download_is_begun_for_its_own_address_until_its_part_is_discarded(remote, url, path):
    assert not is_begun(url, path)
    left_halfway(remote, url, path)
    assert is_begun(url, path)
    assert not is_begun(f"{url}?mirror", path)
    discard_part(path)
    assert not is_begun(url, path)
    assert list(path.parent.iterdir()) == []
