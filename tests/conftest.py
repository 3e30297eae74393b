import sys
from pathlib import Path

import pytest
from loopback import Site, served

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))


@pytest.fixture(scope="session")
def root():
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def paper_table1(root):
    """The paper's Table 1 as it is printed, a table of text."""
    from halfseen.tables import read_table

    return read_table(root / "workflow/resources/paper_table1.csv")


@pytest.fixture(scope="session")
def write_blank_shard():
    """A function that writes a shard of images, masks and ids whose provenance says nothing."""
    from halfseen.shards import PROVENANCE, write_shard

    def write(path, images, masks, image_ids):
        blank = {
            name: [0 if isinstance(dtype, str) else ""] * len(image_ids)
            for name, dtype in PROVENANCE.items()
        }
        write_shard(path, blank | {"images": images, "masks": masks, "image_ids": image_ids})
        return path

    return write


@pytest.fixture(scope="session")
def mobile_sam(root):
    """MobileSAM's real checkpoint, as `make weights` leaves it."""
    path = root / "results/weights/mobile_sam.ckpt"
    if not path.is_file():
        pytest.skip("MobileSAM's checkpoint is not there; `make weights` fetches it")
    return path


@pytest.fixture(scope="session")
def small_detector(tmp_path_factory):
    """A folder with a small random GroundingDINO, laid out like the hub's."""
    from small_detector import write_small_detector

    folder = tmp_path_factory.mktemp("grounding_dino")
    write_small_detector(folder)
    return folder


@pytest.fixture(scope="session")
def small_atlas(root, tmp_path_factory):
    """The atlas of two small data sets, with a class of a hostile name."""
    from small_atlas import write_small_atlas

    return write_small_atlas(root, tmp_path_factory.mktemp("small_atlas"))


@pytest.fixture
def site(monkeypatch):
    """A server on the loopback address, reached without a proxy; `site.add` gives it files."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with served(Site()) as site:
        yield site
