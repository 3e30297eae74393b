"""Archives of data sets, unpacked: nothing in them may write outside of its own folder."""

import gzip
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path, PurePosixPath

from halfseen.files import atomic_folder
from halfseen.progress import progress_bar

# What macOS adds to the archives that it makes.
IGNORED = re.compile(r"(^|/)(__MACOSX|\.DS_Store|\._[^/]*)(/|$)")
READ_BYTES = 2**20
DAMAGE = (
    EOFError,
    RuntimeError,  # zipfile's word for encryption and for unknown methods of compression
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class ArchiveError(ValueError):
    """An archive that is damaged, incomplete, or holds what no data set needs."""


def unpack(archives, folder):
    """`folder`, now with the files of all `archives` and nothing else.

    Each of them is a mapping: the path `archive` of a .zip, .tar or .tar.gz, known by its content;
    `into`, the folder below `folder` that its names start from; and `nested`, the names of archives
    in it that are unpacked into the same folder and are not kept. Only the names and the bytes of
    folders and regular files are taken over: no modes, no owners.
    Raises ArchiveError, and leaves `folder` as it was, for an archive that is truncated or damaged
    or has a member that is a link or a device or would lie outside of its folder.
    """
    with atomic_folder(folder) as temporary:
        for row in archives:
            _unpack_one(Path(row["archive"]), temporary / row["into"], row["nested"])
    return Path(folder)


def _unpack_one(archive, target, nested):
    _extract(archive, str(archive), target)
    for member in nested:
        inner = target / member
        if not inner.is_file():
            raise ArchiveError(f"{archive} holds no {member}, which its row names under nested")
        _extract(inner, f"{member} in {archive}", target)
        inner.unlink()


def _extract(archive, name, target):
    """Write the members of `archive`, which errors call `name`, below the folder `target`."""
    target.mkdir(parents=True, exist_ok=True)
    try:
        with (
            open(archive, "rb") as file,
            progress_bar(archive.stat().st_size, f"unpacking {archive.name}", "B") as bar,
        ):
            for path, content in _members(file, name):
                if content is None:
                    (target / path).mkdir(parents=True, exist_ok=True)
                    continue
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                with open(target / path, "wb") as copy:
                    shutil.copyfileobj(content, copy)
                bar.update(file.tell() - bar.done)
    except DAMAGE as cause:
        raise ArchiveError(
            f"{name} is truncated, damaged or no archive: {cause}; delete it and its record and "
            f"run again, which fetches it anew"
        ) from cause


def _members(file, name):
    """(path, stream of its bytes or None for a folder) of each member, in the archive's order."""
    start = file.read(4)
    file.seek(0)
    is_zip = start in (b"PK\3\4", b"PK\5\6")
    for member, kind, content in (_zip_members if is_zip else _tar_members)(file, start):
        if IGNORED.search(member):
            continue
        path = _path_inside(member, name)
        if kind not in ("file", "folder"):
            raise ArchiveError(f"{name} is refused: its member {member!r} is a {kind}")
        yield path, content if kind == "file" else None


def _path_inside(member, name):
    """The member's path, relative and free of "..", else ArchiveError."""
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", member) or not member:
        raise ArchiveError(
            f"{name} is refused: its member {member!r} would lie outside of the folder"
        )
    return path


def _zip_members(file, start):
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            with archive.open(member) as content:
                yield member.filename, _zip_kind(member), content


def _zip_kind(member):
    unix_type = stat.S_IFMT(
        member.external_attr >> 16
    )  # 0 where the archive does not come from one
    if unix_type == stat.S_IFLNK:
        return "symbolic link"
    if unix_type not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "device or pipe"
    return "folder" if member.is_dir() else "file"


class _StrictInfo(tarfile.TarInfo):
    """A header after which tarfile does not stop: the end is a block of zeros, nothing else."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        """The header in `buf`; raises ReadError where there is half of one, none, or another."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as cause:
            raise tarfile.ReadError(f"{cause} where a member or the end was expected") from cause


def _tar_members(file, start):
    compressed = start.startswith(b"\x1f\x8b")
    with (
        gzip.open(file) if compressed else nullcontext(file) as stream,
        # "r|" never seeks back, which in a compressed archive would mean to start again
        tarfile.open(fileobj=stream, mode="r|", bufsize=READ_BYTES, tarinfo=_StrictInfo) as tar,
    ):
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            yield member.name, _tar_kind(member), content
        while stream.read(READ_BYTES):  # to its end, where gzip compares its checksum
            pass


def _tar_kind(member):
    if member.issym():
        return "symbolic link"
    if member.islnk():
        return "hard link"
    if not (member.isreg() or member.isdir()):
        return "device or pipe"
    return "folder" if member.isdir() else "file"
