"""The plans among the examples run without a key, and end as they say."""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import agentflow
from agentflow.workflow import load
from agentflow_protocols.chat import Json

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, inputs: Mapping[str, Json] | None = None) -> tuple[Json, float]:
    result = agentflow.run(load(EXAMPLES / f"{name}.yaml"), inputs or {}, clock="virtual")
    assert result.virtual_s is not None
    return result.output, result.virtual_s


def test_the_research_brief_is_revised() -> None:
    output, seconds = run("research")
    assert "[tariffs]" in str(output)
    assert "4 of 4 sources" in str(output)
    assert seconds == pytest.approx(1.2 + 0.8 + 0.5 + 0.8), "all sources are read at once"


def test_a_source_that_can_not_be_read_is_left_out(tmp_path: Path) -> None:
    for file in EXAMPLES.glob("research*/**/*"):
        if file.is_file():
            place = tmp_path / file.relative_to(EXAMPLES)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    for name in ("research.yaml", "research_tools.py"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    (tmp_path / "research/sources/broken.txt").write_bytes(b"\xff\xfe\xff")
    output = agentflow.run(load(tmp_path / "research.yaml"), {}, clock="virtual").output
    assert "4 of 5 sources" in str(output)


@pytest.mark.parametrize("broken", [False, True])
def test_the_release_check_looks_at_a_real_folder(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        output, _ = run("release", {"broken": broken})
        assert list(Path(folder).iterdir()) == [], "the last step removes the project"
    assert isinstance(output, dict)
    assert output["ready"] is not broken
    assert (output["checksum"] is None) is broken


def test_the_kitchen_takes_as_long_as_its_cook_and_oven_do() -> None:
    output, seconds = run("kitchen_plan", {"guests": 6})
    assert "Serve 6 plates" in str(output)
    assert seconds == 36 * 60


def test_supper_is_cooked_while_its_plan_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kitchen_planned.py"])
    runpy.run_path(str(EXAMPLES / "kitchen_planned.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert out.index("step_1 begins") < out.index("write is done") < out.index("step_4 begins")
    assert "Served after 29.1 minutes" in out, "29 minutes of work, of which two seconds were waited for"
