import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import halfseen.files
from halfseen.files import atomic_folder, atomic_path, write_parquet, write_table, write_text


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.csv"


def test_a_file_appears_under_its_name_only_when_the_writer_is_done(path):
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert (temporary.parent, temporary.suffix) == (path.parent, ".csv")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "Größe")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "Größe".encode()


def test_a_folder_appears_under_its_name_only_when_it_is_filled(tmp_path):
    folder = tmp_path / "new" / "set"
    with atomic_folder(folder) as temporary:
        (temporary / "a").touch()
        assert not folder.exists()
        assert temporary.parent == folder.parent
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder_and_success_replaces_it(tmp_path, error):
    def fill(name, error=None):
        with atomic_folder(tmp_path / "set") as temporary:
            (temporary / name).touch()
            if error:
                raise error

    fill("old")
    with pytest.raises(error):
        fill("new", error)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["set", "set/old"]
    fill("new")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["set", "set/new"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_writer_leaves_the_old_file_and_no_temporary(path, error):
    def write_half(text):
        with atomic_path(path) as temporary:
            temporary.write_text(text)
            raise error

    path.write_text("old")
    with pytest.raises(error):
        write_half("ne")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(root, path):
    path.write_text("old")
    program = """
import os, sys
from halfseen.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("ne")
    os._exit(9)
"""
    job = subprocess.run([sys.executable, "-c", program, path], cwd=root / "workflow")
    assert job.returncode == 9
    assert path.read_text() == "old"


def test_the_bytes_are_on_the_disk_before_they_get_their_name(path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        call = getattr(os, name)
        monkeypatch.setattr(
            halfseen.files.os, name, lambda *a, n=name, c=call: (done.append(n), c(*a))
        )
    write_text(path, "new")
    assert done == ["fsync", "replace"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_umask_is_respected_and_left_as_it_was(path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(path, "new")
    finally:
        after = os.umask(before)
    assert path.stat().st_mode & 0o777 == mode
    assert after == umask


def test_a_table_is_written_without_its_index_and_with_plain_line_ends(path):
    table = pd.DataFrame({"k": [1, 2], "x": [0.1, 1 / 3], "name": ["a", "b,c"]}, index=[7, 8])
    write_table(path, table)
    assert path.read_bytes() == b'k,x,name\n1,0.1,a\n2,0.333333333,"b,c"\n'


def test_every_float32_comes_back_from_a_table(path):
    bits = np.random.default_rng(0).integers(2**32, size=20_000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    write_table(path, pd.DataFrame({"x": values}))
    np.testing.assert_array_equal(pd.read_csv(path).x.to_numpy(np.float32), values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused_with_the_column_and_the_old_file_stays(path, bad):
    path.write_text("old")
    table = pd.DataFrame({"name": ["a", "b"], "fine": [1.0, 2.0], "cka": [0.5, bad]})
    with pytest.raises(ValueError, match=f"{path} holds NaN or infinity in cka$"):
        write_table(path, table)
    assert path.read_text() == "old"


def test_a_table_of_text_alone_is_written(path):
    write_table(path, pd.DataFrame({"name": ["a", ""]}))
    assert path.read_text() == 'name\na\n""\n'


def test_an_empty_table_is_refused(path):
    with pytest.raises(ValueError, match=f"the table for {path} has no row"):
        write_table(path, pd.DataFrame({"x": []}))
    assert not path.exists()


def test_a_table_that_may_be_empty_is_then_its_header(path):
    write_table(path, pd.DataFrame(columns=["image_id", "reason"]), may_be_empty=True)
    assert path.read_text() == "image_id,reason\n"
    with pytest.raises(ValueError, match="holds NaN"):
        write_table(path, pd.DataFrame({"x": [float("nan")]}), may_be_empty=True)


# --- Parquet ---


def predictions(n=5000):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "image_id": [f"{i:07d}" for i in range(n)],
            "note": ["", "NA", "1e5", "Größe"] * (n // 4),
            "predicted": rng.integers(100, size=n, dtype=np.int32),
            "margin": rng.normal(size=n).astype(np.float32),
            "score": rng.normal(size=n),
            "right": rng.random(n) < 0.5,
        }
    )


def test_a_parquet_table_comes_back_with_all_digits_types_and_texts(tmp_path):
    path, table = tmp_path / "new" / "table.parquet", predictions()
    write_parquet(path, table)
    pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_exact=True)
    assert list(path.parent.iterdir()) == [path]


def test_equal_tables_give_equal_parquet_bytes_however_they_came_about(tmp_path):
    table = predictions()
    parts = pd.concat([table[3000:], table[:3000]]).sort_values("image_id")  # another index
    order = table[table.columns[::-1]][table.columns]
    back = tmp_path / "back.parquet"
    write_parquet(back, table)
    for number, equal in enumerate([table.copy(), parts, order, pd.read_parquet(back)]):
        path = tmp_path / f"{number}.parquet"
        write_parquet(path, equal)
        assert path.read_bytes() == back.read_bytes()
    write_parquet(path, table.assign(score=table.score + 1e-15))
    assert path.read_bytes() != back.read_bytes()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_parquet_table_with_a_number_that_is_none_is_refused_and_the_old_file_stays(path, bad):
    path.write_text("old")
    table = predictions().assign(margin=np.float32(0.5))
    table.loc[17, "margin"] = bad
    with pytest.raises(ValueError, match=f"{path} holds NaN or infinity in margin$"):
        write_parquet(path, table)
    with pytest.raises(ValueError, match=f"the table for {path} has no row"):
        write_parquet(path, table[:0])
    assert path.read_text() == "old"


def test_a_parquet_writer_that_fails_leaves_the_old_file_and_no_temporary(path):
    path.write_text("old")
    with pytest.raises(Exception, match="Conversion failed for column mixed"):
        write_parquet(path, pd.DataFrame({"mixed": [1, "a", object()]}))
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
