"""Atomic writes, and reads with errors for users."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pc_ssl.errors import UserError

PARTIAL_SUFFIX = ".partial"  # the ending of every unfinished file; readers never open one


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it is synced to disk and renamed to `path`.

    A process killed at any moment leaves either the old file, the new file, or a `.partial` file that no reader opens.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".", suffix=PARTIAL_SUFFIX)
        os.close(handle)
    except OSError as error:
        raise write_error(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def read_bytes(path: Path) -> bytes:
    """The file's content.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def may_enter(folder: Path) -> bool:
    """Whether this process may list the files of a folder and open them."""
    return os.access(folder, os.R_OK | os.X_OK)


def sha256_of(path: Path) -> str:
    """The checksum of a file, in hexadecimal.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON to `path`, atomically; the same content gives the same bytes."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error


def remove_partial_files(folder: Path) -> None:
    """Delete what killed runs left unfinished below `folder`."""
    for path in folder.rglob("*" + PARTIAL_SUFFIX):
        path.unlink(missing_ok=True)


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, where `relative` comes from a data file and must not leave `root`.

    The name alone is looked at: links below `root` were placed by the user, as where a data set is spread over disks,
    and are followed.

    Raises:
        UserError: the path is absolute, has a part "..", or holds characters that cannot be printed.
    """
    path = root / relative
    if not relative.isprintable():  # no data set names files so, and such a name garbles or splits an error's line
        raise UserError(f"{root}: the path {relative!r} holds characters that cannot be printed")
    if os.path.isabs(relative) or ".." in Path(relative).parts:
        raise UserError(f"{root}: the path {relative!r} leaves the folder")
    return path


def write_error(path: Path, error: OSError) -> UserError:
    """What to raise where `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{path}: no space left on the disk; nothing was lost, free some and run the same command again"
        )
    return UserError(f"{path}: cannot be written ({error.strerror})")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_at(path: Path, file: IO[bytes]) -> bool:
    """Whether `path` still names this open file, which another process may have removed or replaced."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
