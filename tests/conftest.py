import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))


@pytest.fixture(scope="session")
def root():
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def mobile_sam(root):
    """MobileSAM's real checkpoint, as `make weights` leaves it."""
    path = root / "results/weights/mobile_sam.ckpt"
    if not path.is_file():
        pytest.skip("MobileSAM's checkpoint is not there; `make weights` fetches it")
    return path
