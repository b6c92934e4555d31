"""Any plan that is checked runs to an end: no stall, no fault but its steps' own."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import agentflow
from agentflow.errors import PlanFailed
from agentflow.workflow import check_workflow, load
from agentflow_protocols.chat import Json

NAMES = [f"s{i}" for i in range(6)]
TOOLS = """\
import asyncio


async def work(text: str, minutes: int, fails: bool = False) -> str:
    await asyncio.sleep(60 * minutes)
    if fails:
        raise RuntimeError(text)
    return text
"""


@st.composite
def steps(draw: st.DrawFn, earlier: list[str], later: list[str], depth: int = 0) -> dict[str, Json]:
    """Return a step that takes of `earlier` ones what it needs, and may be stood in for by a later one."""
    some = st.lists(st.sampled_from(earlier), max_size=2, unique=True) if earlier else st.just([])
    kind = draw(st.sampled_from(["tool"] * 5 + ["any_of"] * bool(earlier) + ["plan"] * (1 - depth)))
    if kind == "any_of":
        of = draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=3, unique=True))
        return {"any_of": of, "losers": draw(st.sampled_from(["cancel", "leave"]))}
    step: dict[str, Json] = {"after": draw(some)}
    if kind == "plan":
        step["plan"] = draw(plans(depth=1))
    else:
        used = " ".join(f"{{{{ steps.{name}.output }}}}" for name in draw(some))
        fails = draw(st.sampled_from([False, False, False, True]))
        step["tool"] = "work"
        step["with"] = {"text": f"t {used}", "minutes": draw(st.integers(0, 3)), "fails": fails}
    if draw(st.booleans()):
        step["resources"] = {"stove": draw(st.integers(1, 2))}
    if draw(st.integers(0, 3)) == 0:
        step["each"] = draw(st.sampled_from([[], [1, 2, 3], "{{ inputs.items }}"]))
        step["max_parallel"] = draw(st.integers(1, 2))
    truths = [None, None, True, False, *(f"{{{{ steps.{name}.output }}}}" for name in earlier)]
    if (when := draw(st.sampled_from(truths))) is not None:
        step["when"] = when
    others = [{"step": name} for name in later]
    on_error: Json = draw(st.sampled_from([None, "skip", "fail", *others]))
    if on_error is not None:
        step["on_error"] = on_error
    return step


@st.composite
def plans(draw: st.DrawFn, depth: int = 0) -> dict[str, Json]:
    here = NAMES[: draw(st.integers(1, 6 - 3 * depth))]
    made: dict[str, Json] = {}
    for number, name in enumerate(here):
        made[name] = draw(steps(here[:number], here[number + 1 :], depth))
    return {
        "steps": made,
        "resources": {"stove": 2},
        "on_failure": draw(st.sampled_from(["finish", "cancel"])),
        "window": draw(st.integers(1, 4)),
    }


@settings(max_examples=100, deadline=None)
@given(plans())
def test_what_is_checked_runs_to_an_end(plan: dict[str, Json]) -> None:
    """WF-6.1 to WF-6.11."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.yaml"
        file = {
            "agentflow": 1,
            "inputs": {"items": {"type": "json", "default": [1, 2]}},
            "tools": {"work": {"python": "tools:work", "max_parallel": 3}},
            "plan": plan,
        }
        path.write_text(json.dumps(file))
        (Path(folder) / "tools.py").write_text(TOOLS)
        if check_workflow(path).problems:
            return
        try:
            output = agentflow.run(load(path), {}, clock="virtual").output
        except PlanFailed:
            return
        assert isinstance(output, dict)
        assert list(output) == list(NAMES[: len(output)])
