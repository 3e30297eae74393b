"""The table of all pairs, and agreement with public implementations."""

import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from halfseen.intervals import jackknife_groups, jackknife_interval
from halfseen.representations import Representation
from halfseen.similarity import COLUMNS, REPLICATES, similarity, similarity_of_all

MEASURES = {
    "cka": {"kind": "linear_cka", "label": "Linear CKA"},
    "debiased": {"kind": "debiased_cka"},
    "cca": {"kind": "mean_squared_cca", "components": None},
    "cca_pc3": {"kind": "mean_squared_cca", "components": 3},
    "angle": {"kind": "angular_procrustes"},
    "ridge": {"kind": "ridge_cka", "ridge": 0.1},
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def arrays(rng):
    """Related representations of 70 images; of `doubled` the columns are collinear."""
    x = rng.normal(size=(70, 5)) + 2
    y = x @ rng.normal(size=(5, 7)) + rng.normal(size=(70, 7))
    return {"x": x, "y": y.astype(np.float32), "doubled": np.column_stack([x[:, :3], x[:, :3]])}


def represented(arrays, **options):
    return {name: Representation(rows, name, **options) for name, rows in arrays.items()}


# The table


def test_the_table_holds_every_ordered_pair_under_every_measure(arrays):
    result = similarity_of_all(represented(arrays), MEASURES)
    table = result.table
    assert list(table.columns) == COLUMNS
    assert len(table) == len(MEASURES) * 9
    assert (table.low == "").all()
    assert list(result.replicates.columns) == REPLICATES
    assert result.replicates.empty
    for row in table.itertuples():
        expected = similarity(arrays[row.x], arrays[row.y], **MEASURES[row.measure] | {"label": ""})
        assert row.similarity == pytest.approx(expected, rel=1e-9, abs=1e-7), row


def test_what_stands_beside_a_value(arrays):
    table = similarity_of_all(represented(arrays), MEASURES).table
    row = table[(table.measure == "cca") & (table.x == "doubled") & (table.y == "y")].iloc[0]
    assert (row.n, row.d_x, row.d_y, row.components_x, row.components_y) == (70, 6, 7, 3, 7)
    assert row.n_over_d == 10
    assert row.null == pytest.approx(7 / 69)
    assert row.rank_tolerance == 70 * np.finfo(float).eps
    mirrored = table[(table.measure == "cca") & (table.x == "y") & (table.y == "doubled")].iloc[0]
    assert (mirrored.d_x, mirrored.components_x, mirrored.components_y) == (7, 7, 3)
    assert mirrored.effective_rank_x == row.effective_rank_y
    values = np.linalg.eigvalsh(np.cov(arrays["y"], rowvar=False))
    assert row.effective_rank_y == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-5)
    angle = table[table.measure == "angle"]
    assert (angle.null == "").all()
    assert angle[angle.x == angle.y].similarity.tolist() == [0, 0, 0]


def test_a_pair_is_measured_alike_in_batches_and_all_together(arrays):
    whole = similarity_of_all(represented(arrays), MEASURES).table
    single = similarity_of_all(represented(arrays), MEASURES, memory_mb=0).table
    assert single.similarity.to_numpy(float) == pytest.approx(whole.similarity.to_numpy(float))
    asked = similarity_of_all(represented(arrays), MEASURES, pairs=[("x", "y")]).table
    assert list(zip(asked.x, asked.y, strict=True)) == [("x", "y"), ("y", "x")] * len(MEASURES)


def test_the_jackknife_is_the_measure_of_the_other_images(arrays, rng):
    groups = jackknife_groups(np.arange(70) % 2, rng, n_groups=5)
    result = similarity_of_all(represented(arrays, groups=groups), MEASURES)
    left_out = result.replicates.groupby(["measure", "x", "y"]).similarity
    for name, row in MEASURES.items():
        for x, y in [("x", "y"), ("doubled", "y"), ("y", "doubled")]:
            expected = [
                similarity(arrays[x][groups != group], arrays[y][groups != group], **row)
                for group in range(5)
            ]
            found = left_out.get_group((name, x, y)).to_numpy()
            assert found == pytest.approx(expected, rel=1e-7)
            cell = result.table.set_index(["measure", "x", "y"]).loc[(name, x, y)]
            interval = jackknife_interval(cell.similarity, found)
            assert tuple(cell[["low", "high", "se"]]) == pytest.approx(interval)


def test_threads_change_nothing(rng):
    rows = {name: rng.normal(size=(600, 300)) for name in "ab"}
    rows["b"] += rows["a"]
    groups = np.arange(600) % 3
    tables = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            measures = {name: MEASURES[name] for name in ("cka", "cca", "angle")}
            tables.append(similarity_of_all(represented(rows, groups=groups), measures).table)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    for column in ("similarity", "low", "high"):
        one, two = (table[column].to_numpy(float) for table in tables)
        assert two == pytest.approx(one, rel=1e-9, abs=1e-9)


def test_a_refusal_names_measure_and_pair(rng):
    wide = represented({name: rng.normal(size=(20, 30)) for name in "ab"})
    with pytest.raises(ValueError, match="cca of a and b: mean squared CCA of 20 images .*; use"):
        similarity_of_all(wide, {"cca": MEASURES["cca"]}, pairs=[("a", "b")])
    with pytest.raises(KeyError, match="'kendall' is no measure"):
        similarity_of_all(wide, {"tau": {"kind": "kendall"}})


def test_representations_of_other_images_are_refused(arrays):
    ids = np.array([f"image {number}" for number in range(70)])
    parts = {
        "x": Representation(arrays["x"], "x", ids=ids),
        "y": Representation(arrays["y"], "y", ids=ids[::-1]),
    }
    with pytest.raises(ValueError, match="x and y are of other images: row 0 is 'image 0'"):
        similarity_of_all(parts, {"cka": MEASURES["cka"]})


# Public implementations


@pytest.fixture(scope="module")
def drawn():
    """Related and unrelated pairs, more images than dimensions and fewer."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, 6)) + 1
    return {
        "related": (x, x @ rng.normal(size=(6, 9)) + 2 * rng.normal(size=(50, 9))),
        "unrelated": (x, rng.normal(size=(50, 8))),
        "wide": (rng.normal(size=(30, 60)), rng.normal(size=(30, 45))),
    }


@pytest.mark.parametrize("case", ["related", "unrelated", "wide"])
def test_linear_cka_is_rsatoolbox_s_whitened_cosine_of_dissimilarities(case, drawn):
    # Diedrichsen et al. 2020, section 4: of squared Euclidean distances it is linear CKA.
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm, compare

    pair = drawn[case]
    found = [calc_rdm(Dataset(rows), method="euclidean") for rows in pair]
    expected = compare(*found, method="cosine_cov").item()
    assert similarity(*pair, "linear_cka") == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def float64():
    """Networks, and what torch_cka makes of them, in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("case", ["related", "unrelated", "wide"])
def test_debiased_cka_is_torch_cka_s_of_one_batch(case, drawn, float64):
    import torch_cka

    pair = drawn[case]
    networks = []
    for rows in pair:
        layer = nn.Linear(len(rows), rows.shape[1], bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(rows.T))
        networks.append(nn.Sequential(OrderedDict(rows=layer)))
    n = len(pair[0])
    images = torch.utils.data.TensorDataset(torch.eye(n))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        peer = torch_cka.CKA(*networks, "x", "y", ["rows"], ["rows"])
        peer.compare(torch.utils.data.DataLoader(images, batch_size=n))
    expected = peer.export()["CKA"].item()
    assert similarity(*pair, "debiased_cka") == pytest.approx(expected, abs=1e-6)


# Memory


STREAMED = """
import resource, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import h5py
import numpy as np
import torch

from halfseen.representations import Representation
from halfseen.similarity import similarity_of_all

torch.set_num_threads(1)
MEASURES = {kind: {"kind": kind} for kind in ("debiased_cka", "mean_squared_cca")}


def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(arrays):
    parts = {name: Representation(rows, name, block_rows=1024) for name, rows in arrays.items()}
    return similarity_of_all(parts, MEASURES, pairs=[("v0", "v1"), ("v0", "v2")])


# What is loaded or allocated once must not count.
measure({f"v{i}": np.random.default_rng(i).normal(size=(2048, 128)) for i in range(3)})
resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + int(sys.argv[2]),) * 2)
for path in sys.argv[3:]:
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    before = status("VmRSS")
    with h5py.File(path) as file:
        measure(dict(file.items()))
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are Linux's to tell")
def test_files_larger_than_the_memory_allowed_are_measured_and_the_peak_does_not_grow(
    root, tmp_path, rng
):
    limit, paths = 48 * 2**20, []
    for n in (15_000, 60_000):
        paths.append(tmp_path / f"{n}.h5")
        with h5py.File(paths[-1], "w") as file:
            for number in range(3):
                file["v" + str(number)] = rng.standard_normal((n, 128), dtype=np.float32)
    assert paths[1].stat().st_size > 1.5 * limit
    script = tmp_path / "streamed.py"
    script.write_text(STREAMED)
    command = [sys.executable, script, root / "workflow", str(limit), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    small, large = (int(line) for line in done.stdout.split())
    # The allocator alone makes peaks differ by some 14 MB; a file that is held adds 69 MB.
    assert large - small < np.diff([path.stat().st_size for path in paths])[0] / 3
