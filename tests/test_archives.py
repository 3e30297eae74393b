import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile

import pytest

import halfseen.archives
from halfseen.archives import ArchiveError, unpack

PICTURE = os.urandom(3000)  # does not compress: a cut in the middle cuts into it
FILES = {"set/a/1.jpg": PICTURE, "set/b/2.jpg": b"2", "set/list.txt": b"a b"}


def tar_bytes(members, compression=""):
    """An archive of files {name: content} and of TarInfo."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=f"w:{compression}") as archive:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


def zip_bytes(members):
    """An archive of (name, content, Unix mode or None)."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, content)
    return written.getvalue()


KINDS = {
    "tar": tar_bytes(FILES.items()),
    "tar.gz": tar_bytes(FILES.items(), "gz"),
    "zip": zip_bytes([(name, content, None) for name, content in FILES.items()]),
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out" / "set"


@pytest.fixture
def bring(tmp_path, folder):
    """A function that unpacks the bytes of an archive into `folder`."""

    def unpack_bytes(content, into=".", nested=()):
        archive = tmp_path / "set.archive"
        archive.write_bytes(content)
        return unpack([{"archive": archive, "into": into, "nested": nested}], folder)

    return unpack_bytes


def files_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def nothing_was_left(tmp_path, folder):
    """Fails a test after which there is more than the archive and the folder's parent."""
    yield
    assert {path.name for path in tmp_path.rglob("*")} <= {"set.archive", "out"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_comes_out_as_it_went_in_whatever_the_archive_is_called(bring, folder, kind):
    assert bring(KINDS[kind]) == folder
    assert files_below(folder) == FILES
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("kind", KINDS)
def test_into_is_a_folder_below(bring, folder, kind):
    bring(KINDS[kind], into="x/y")
    assert files_below(folder) == {f"x/y/{name}": content for name, content in FILES.items()}


def test_several_archives_fill_one_folder(tmp_path, folder):
    (tmp_path / "images").write_bytes(KINDS["zip"])
    (tmp_path / "labels").write_bytes(tar_bytes([("set/labels.txt", b"1 2")]))
    rows = [
        {"archive": tmp_path / name, "into": ".", "nested": []} for name in ("images", "labels")
    ]
    unpack(rows, folder)
    assert files_below(folder) == {**FILES, "set/labels.txt": b"1 2"}


def test_what_was_in_the_folder_is_replaced(bring, folder):
    folder.mkdir(parents=True)
    (folder / "old.txt").write_text("old")
    bring(KINDS["tar"])
    assert files_below(folder) == FILES


def test_empty_folders_and_files_of_every_size_around_a_block_are_kept(bring, folder):
    sizes = {f"{n}": os.urandom(n) for n in (0, 1, 511, 512, 513, 10240, 2**20 + 1)}
    inner = tarfile.TarInfo("empty")
    inner.type = tarfile.DIRTYPE
    bring(tar_bytes([*sizes.items(), inner], "gz"))
    assert files_below(folder) == sizes
    assert (folder / "empty").is_dir()


def test_long_and_foreign_names_are_kept(bring, folder):
    name = "/".join(["Äpfel " * 10] * 4) + "/%.jpg"
    for content in (tar_bytes([(name, b"1")]), zip_bytes([(name, b"1", None)])):
        bring(content)
        assert files_below(folder) == {name: b"1"}


def caltech(nested_images):
    return zip_bytes(
        [
            ("caltech-101/images.tar.gz", nested_images, None),
            ("caltech-101/marks.tar", tar_bytes([("Annotations/1.mat", b"m")]), None),
            ("caltech-101/show.m", b"plot", None),
            ("__MACOSX/caltech-101/._show.m", b"fork", None),
        ]
    )


NESTED = ["caltech-101/images.tar.gz", "caltech-101/marks.tar"]


def test_nested_archives_are_unpacked_into_the_same_folder_and_not_kept(bring, folder):
    images = {"101/a/1.jpg": PICTURE, "101/.DS_Store": b"x", "101/a/._1.jpg": b"x"}
    bring(caltech(tar_bytes(images.items(), "gz")), "caltech101", NESTED)
    assert files_below(folder / "caltech101") == {
        "101/a/1.jpg": PICTURE,
        "Annotations/1.mat": b"m",
        "caltech-101/show.m": b"plot",
    }


@pytest.mark.usefixtures("nothing_was_left")
def test_a_bad_nested_archive_is_named_with_the_one_that_holds_it(bring):
    for images in (KINDS["tar.gz"][:-1000], tar_bytes([("../x", b"")])):
        with pytest.raises(ArchiveError, match="caltech-101/images.tar.gz in .*/set.archive is"):
            bring(caltech(images), "caltech101", NESTED)


@pytest.mark.usefixtures("nothing_was_left")
def test_a_nested_archive_that_is_not_there_is_named(bring):
    with pytest.raises(ArchiveError, match="set.archive holds no other.tar.*nested"):
        bring(KINDS["zip"], nested=["other.tar"])


@pytest.mark.usefixtures("nothing_was_left")
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_cut_anywhere_is_named_and_nothing_is_left(bring, kind):
    whole = KINDS[kind]
    # a tar ends with two blocks of zeros and more zeros up to 10,240 bytes
    end = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole) - 1
    for length in {*range(0, end, 97), *range(512, end, 512), end // 2, end}:
        with pytest.raises(ArchiveError, match="set.archive is truncated.*delete it.*anew"):
            bring(whole[:length])


@pytest.mark.usefixtures("nothing_was_left")
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_changed_byte_in_a_compressed_file_is_noticed(bring, kind):
    changed = bytearray(KINDS[kind])
    changed[1500] ^= 1
    with pytest.raises(ArchiveError, match="set.archive is truncated, damaged"):
        bring(changed)


@pytest.mark.usefixtures("nothing_was_left")
def test_the_checksum_at_the_end_of_a_tar_gz_is_compared(bring, monkeypatch):
    # tar's own unit: the last reading of the archive ends just before the checksum
    monkeypatch.setattr(halfseen.archives, "READ_BYTES", tarfile.RECORDSIZE)
    changed = bytearray(KINDS["tar.gz"])
    changed[-8] ^= 1
    with pytest.raises(ArchiveError, match="set.archive is truncated, damaged.*CRC"):
        bring(changed)


@pytest.mark.usefixtures("nothing_was_left")
def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(bring):
    changed = bytearray(KINDS["tar"])
    changed[512 * 7 + 5] ^= 1  # in the second member's name
    with pytest.raises(ArchiveError, match="bad checksum where a member or the end was expected"):
        bring(changed)


@pytest.mark.usefixtures("nothing_was_left")
@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\3\4", gzip.compress(b"text")])
def test_what_is_no_archive_is_refused(bring, content):
    with pytest.raises(ArchiveError, match="truncated, damaged or no archive"):
        bring(content)


def special(kind, name="set/evil", target="", **keys):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    for key, value in keys.items():
        setattr(info, key, value)
    return info


OUTSIDE = ["../evil", "set/../../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "\\evil", "x/.."]
LINKS = ["/etc/passwd", "../../evil", "set/a/1.jpg"]
BAD_TARS = {
    **{f"name {name}": ((name, b"evil"), "outside") for name in OUTSIDE},
    **{f"folder {name}": (special(tarfile.DIRTYPE, name), "outside") for name in OUTSIDE},
    **{f"symlink {to}": (special(tarfile.SYMTYPE, target=to), "symbolic link") for to in LINKS},
    **{f"hard link {to}": (special(tarfile.LNKTYPE, target=to), "hard link") for to in LINKS},
    "character device": (special(tarfile.CHRTYPE, devmajor=1, devminor=3), "device or pipe"),
    "block device": (special(tarfile.BLKTYPE, devmajor=8), "device or pipe"),
    "pipe": (special(tarfile.FIFOTYPE), "device or pipe"),
}
UNIX = {
    "symlink": stat.S_IFLNK,
    "pipe": stat.S_IFIFO,
    "character device": stat.S_IFCHR,
    "block device": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
}
BAD_ZIPS = {
    **{f"name {name}": (name, b"evil", None, "outside") for name in OUTSIDE},
    **{f"folder {name}/": (f"{name}/", b"", None, "outside") for name in OUTSIDE},
    **{kind: ("set/evil", b"/etc", mode | 0o777, "link|device") for kind, mode in UNIX.items()},
    "folder that is a link": ("set/evil/", b"/etc", stat.S_IFLNK | 0o777, "symbolic link"),
}


@pytest.mark.usefixtures("nothing_was_left")
@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("bad", BAD_TARS)
def test_a_bad_member_refuses_the_whole_tar_by_name(bring, bad, compression):
    member, why = BAD_TARS[bad]
    with pytest.raises(ArchiveError, match=f"set.archive is refused: its member .*{why}"):
        bring(tar_bytes([*FILES.items(), member], compression))


@pytest.mark.usefixtures("nothing_was_left")
@pytest.mark.parametrize("bad", BAD_ZIPS)
def test_a_bad_member_refuses_the_whole_zip_by_name(bring, bad):
    name, content, mode, why = BAD_ZIPS[bad]
    good = [(name, content, None) for name, content in FILES.items()]
    with pytest.raises(ArchiveError, match=f"set.archive is refused: its member .*({why})"):
        bring(zip_bytes([*good, (name, content, mode)]))


@pytest.mark.usefixtures("nothing_was_left")
def test_an_encrypted_zip_is_named(bring):
    locked = bytearray(KINDS["zip"])
    for header in (b"PK\3\4", b"PK\1\2"):
        at = locked.index(header) + (6 if header == b"PK\3\4" else 8)
        locked[at] |= 1
    with pytest.raises(ArchiveError, match="set.archive is .*encrypted"):
        bring(locked)


def test_no_mode_of_the_archive_is_taken_over(bring, folder):
    mode = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | 0o777
    archives = [
        tar_bytes([special(tarfile.REGTYPE, "evil", mode=mode)]),
        zip_bytes([("evil", b"", stat.S_IFREG | mode)]),
    ]
    (folder.parent / "plain").parent.mkdir()
    (folder.parent / "plain").touch()
    for content in archives:
        bring(content)
        assert (folder / "evil").stat().st_mode == (folder.parent / "plain").stat().st_mode


def test_a_killed_unpacking_leaves_nothing_that_looks_finished(bring, tmp_path, folder, root):
    archive = tmp_path / "set.archive"
    archive.write_bytes(KINDS["zip"])
    code = f"""
import os, shutil, sys
sys.path.insert(0, {str(root / "workflow")!r})
import halfseen.archives
copied = []
def copy_some(content, copy):
    copy.write(content.read(1))
    copy.flush()
    copied.append(copy)
    if len(copied) == 2:
        os._exit(9)
halfseen.archives.shutil.copyfileobj = copy_some
row = {{"archive": {str(archive)!r}, "into": ".", "nested": []}}
halfseen.archives.unpack([row], {str(folder)!r})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == [".set.unfinished"]
    bring(KINDS["zip"])
    assert files_below(folder) == FILES
    assert list(folder.parent.iterdir()) == [folder]


def test_a_failing_disk_leaves_the_old_folder_as_it_was(bring, folder, monkeypatch):
    bring(KINDS["tar"])

    def fail(content, copy):
        raise OSError("no space left on device")

    monkeypatch.setattr(halfseen.archives.shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="no space left"):
        bring(KINDS["zip"])
    assert files_below(folder) == FILES
    assert list(folder.parent.iterdir()) == [folder]
