"""The wheel and the source archive: built, installed into an empty environment, used there."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path = ROOT) -> str:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=own, capture_output=True, text=True)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, and the wheel from it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


def test_the_wheel_holds_the_three_roots_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {
        "agentflow",
        "agentflow_protocols",
        "agentflow_bench",
    }
    for root in ("agentflow", "agentflow_protocols", "agentflow_bench"):
        assert f"{root}/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_archive_can_be_tested(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {
        "Makefile",
        "README.md",
        "LICENSE",
        "tests/house/test_package.py",
        "examples/kitchen.yaml",
    } <= names


def test_an_installed_wheel_works_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    """Our own package comes from the wheel; its dependencies from this environment's folder."""
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    # A plain path: the .pth files in that folder, so an editable install too, are not followed.
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run(
        python,
        "-c",
        "import agentflow, agentflow_protocols, agentflow_bench as b; print(agentflow.__file__, b.__file__)",
        cwd=tmp_path,
    )
    assert where.count(site) == 2
    version = run(python, "-c", "import agentflow; print(agentflow.__version__)", cwd=tmp_path)
    assert version in run(python.parent / "agentflow", "--version", cwd=tmp_path)
    assert version in wheel.name
    assert "bench" in run(python.parent / "agentflow", "--help", cwd=tmp_path)
