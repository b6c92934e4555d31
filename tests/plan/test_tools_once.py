"""A step's tool that was under way in a crash: run again only where that does no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentflow import Runtime, UserError, tool
from agentflow.errors import PlanFailed
from agentflow.plan import Outputs, Plan
from agentflow.workflow import load

LOG = "log"


def _pay(amount: int) -> str:
    """Pay an amount; the first time, the process is killed on the way."""
    log = Path(LOG)
    first = not log.exists()
    with log.open("a") as file:
        file.write(f"paid {amount}\n")
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"paid {amount}"


pay = tool(_pay)
read = tool(idempotent=True)(_pay)


@tool
async def note(what: str) -> str:
    """Note something down."""
    return f"noted {what}"


@tool(idempotent=False)
async def shaky(what: str) -> str:
    """Fail once, then do it."""
    if not Path("once").exists():
        Path("once").touch()
        raise ValueError("not yet")
    return f"did {what}"


def make(which: str) -> Plan:
    plan = Plan()
    first = plan.step(note, "it").options(name="first")
    if which == "map":
        plan.map(pay, [1, 2], max_parallel=1).options(name="pay", after=first)
        return plan
    step = plan.step(read if which == "read" else pay, 5).options(name="pay", after=first)
    if which in ("again", "retries"):
        step.options(idempotent=True if which == "again" else None, retries=2)
    if which == "skip":
        step.options(on_error="skip")
    if which == "spare":
        step.options(on_error=plan.step(note, "the bill is open").options(name="spare"))
    plan.step(note, step.output).options(name="last")
    return plan


def killed(which: str, folder: Path) -> None:
    """Run a plan in a process that is killed while its tool is under way."""
    code = f"import asyncio; from test_tools_once import crash; asyncio.run(crash({which!r}))"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=folder, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (folder / LOG).read_text().count("paid") == 1


async def crash(which: str) -> None:
    async with Runtime("runs.db") as runtime:
        await runtime.run(load("pay.yaml") if which == "yaml" else make(which), key="k")


async def resumed(which: str) -> Outputs:
    async with Runtime("runs.db") as runtime:
        return (await runtime.run(make(which), key="k")).output


@pytest.mark.parametrize("which", ["pay", "retries", "map"])
async def test_whether_it_happened_is_unknown(which: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    killed(which, tmp_path)
    for _ in range(2):  # and stays so
        with pytest.raises(
            PlanFailed, match=r"pay was under way .* whether it happened is unknown"
        ) as caught:
            await resumed(which)
        assert caught.value.states["first"] == "done"
        assert caught.value.states["pay"] == "failed"
    assert Path(LOG).read_text().count("paid") == 1
    if which == "pay":  # the operator has looked, and says that it may run again
        assert (await resumed("again"))["last"] == "noted paid 5"
        assert Path(LOG).read_text().count("paid") == 2


@pytest.mark.parametrize("which", ["read", "again"])
async def test_what_may_run_again_does(which: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    killed(which, tmp_path)
    assert (await resumed(which))["last"] == "noted paid 5"
    assert Path(LOG).read_text().count("paid") == 2


@pytest.mark.parametrize(("which", "given"), [("skip", None), ("spare", "noted the bill is open")])
async def test_the_plan_may_go_on_without_it(which: str, given: object, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    killed(which, tmp_path)
    if which == "skip":
        with pytest.raises(PlanFailed, match="last"):  # which needs a text
            await resumed(which)
    else:
        outputs = await resumed(which)
        assert outputs["pay"] == given
        assert outputs["last"] == "noted noted the bill is open"
    assert Path(LOG).read_text().count("paid") == 1


async def test_a_tool_that_failed_is_run_again(tmp_path: Path, monkeypatch) -> None:
    """What came of it is known: nothing. And a retry that ended well is read, not the run before it."""
    monkeypatch.chdir(tmp_path)

    def plan(retries: int, fails: bool) -> Plan:
        made = Plan()
        step = made.step(shaky, "it").options(name="shaky", retries=retries)
        made.step(broken if fails else note, step.output).options(name="last")
        return made

    @tool
    async def broken(what: str) -> str:
        """Fail."""
        raise ValueError("broken")

    with pytest.raises(PlanFailed, match="not yet"):
        async with Runtime("runs.db") as runtime:
            await runtime.run(plan(0, False), key="k")
    async with Runtime("runs.db") as runtime:
        assert (await runtime.run(plan(0, False), key="k")).output["last"] == "noted did it"
    Path("once").unlink()
    with pytest.raises(PlanFailed, match="broken"):
        async with Runtime("runs.db") as runtime:
            await runtime.run(plan(1, True), key="retried")
    Path("once").unlink()
    async with Runtime("runs.db") as runtime:
        assert (await runtime.run(plan(1, False), key="retried")).output["last"] == "noted did it"
    assert not Path("once").exists()  # it was not run again


async def test_in_a_workflow_file_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    text = (
        "agentflow: 1\n"
        "tools:\n"
        "  pay: {python: 'test_tools_once:pay', idempotent: AGAIN}\n"
        "plan:\n"
        "  steps:\n"
        "    first: {tool: pay, with: {amount: 3}}\n"
    )
    Path("pay.yaml").write_text(text.replace("AGAIN", "false"))
    killed("yaml", tmp_path)
    async with Runtime("runs.db") as runtime:
        with pytest.raises(PlanFailed, match="whether it happened is unknown"):
            await runtime.run(load("pay.yaml"), key="k")
    Path("pay.yaml").write_text(text.replace("AGAIN", "true"))
    async with Runtime("runs.db") as runtime:
        assert (await runtime.run(load("pay.yaml"), key="k")).output == {"first": "paid 3"}
    assert Path(LOG).read_text().count("paid") == 2


async def test_only_a_tool_can_be_not_idempotent() -> None:
    plan = Plan()
    plan.step(lambda: 1).options(name="plain", idempotent=False)
    async with Runtime() as runtime:
        with pytest.raises(UserError, match="step plain: only a tool can be not idempotent"):
            await runtime.run(plan)
