"""Tools that are programs: arguments, output, exit codes, and that nothing is left running."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import time

import pytest

from agentflow.errors import ToolError, ToolFailed, ToolRetry, UserError
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tools import tool

PYTHON = sys.executable


def program(code: str, *arguments: str, **options):
    options = {"name": "program", "description": "Run it.", **options}
    return tool.process([PYTHON, "-c", code, *arguments], **options)


async def called(made, arguments: str = "{}"):
    return await made.run(None, made.validate(arguments))


async def test_arguments_and_stdin_reach_the_program_as_they_are() -> None:
    made = program(
        "import sys; print(sys.argv[1:], sys.stdin.read())",
        "--",
        "{a}",
        "{{x}}={b}",
        stdin="<{text}>",
        parameters={"a": "The first.", "b": {"type": "integer", "minimum": 0}},
    )
    assert made.spec.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "The first."},
            "b": {"type": "integer", "minimum": 0},
            "text": {"type": "string"},
        },
        "required": ["a", "b", "text"],
        "additionalProperties": False,
    }
    out = await called(made, '{"a": "$(id); `ls` \\"", "b": 3, "text": "é\\n"}')
    assert out == "['--', '$(id); `ls` \"', '{x}=3'] <é\n>\n"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ('{"a": "-rf"}', 'program: `a`: must not begin with `-`, found "-rf"'),
        ('{"a": "x\\u0000y"}', "an argument holds a NUL character"),
        ('{"a": 3}', "program: `a` must be of type string, found 3"),
    ],
)
async def test_arguments_that_no_program_may_get(arguments: str, fault: str) -> None:
    with pytest.raises(ToolRetry, match=fault):
        await called(program("pass", "{a}"), arguments)


async def test_a_number_may_be_negative() -> None:
    made = program("import sys; print(sys.argv[1])", "{n}", parameters={"n": {"type": "number"}})
    assert await called(made, '{"n": -2.5}') == "-2.5\n"


@pytest.mark.parametrize(
    ("command", "options", "fault"),
    [
        ([], {}, "the command is empty"),
        (["{x}"], {}, "the program itself can't be a parameter"),
        (["ls", "{x.y}"], {}, r"`\{x.y\}` must be a plain name"),
        (["ls", "{x"], {}, r"write a brace as `\{\{`"),
        (["ls", "{x}"], {"parameters": {"y": "Y."}}, "the command has no parameter `y`; it has `x`"),
    ],
)
def test_commands_that_can_be_no_tool(command, options, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        tool.process(command, name="t", description="", **options)


async def test_exit_codes() -> None:
    code = "import sys; print('out'); print('why', file=sys.stderr); sys.exit(3)"
    with pytest.raises(ToolFailed, match=r"^program: exit code 3: why$"):
        await called(program(code))
    assert await called(program(code, ok_exit=(0, 3))) == "out\n"
    missing = tool.process(["no-such-program"], name="t", description="")
    with pytest.raises(ToolFailed, match="t: `no-such-program` can't be started: No such file"):
        await called(missing)


async def test_secrets_of_this_process_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    code = "import os; print('SOME_API_KEY' in os.environ, os.environ.get('X'), 'PATH' in os.environ)"
    assert await called(program(code, env={"X": "1"})) == "False 1 True\n"


async def test_output_is_capped_and_drained() -> None:
    out = await called(program("print('x' * 1_000_000)", max_output=10))
    assert out == "xxxxxxxxxx\n[999991 more bytes dropped]"


async def test_a_program_that_reads_nothing_of_its_input_is_no_error() -> None:
    made = program("print('ok')", stdin="{text}")
    assert await made.run(None, {"text": "x" * 5_000_000}) == "ok\n"


FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, os.getpid(), flush=True)
if len(sys.argv) > 1: time.sleep(60)
"""


def ends(pid: int) -> bool:
    """Return whether the killed process ends; the kernel may still be at it."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 5)[0])
    finally:
        os.close(watched)


on_linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd_open")


@on_linux
async def test_what_a_program_leaves_behind_is_killed() -> None:
    child, parent = map(int, (await called(program(FAMILY))).split())
    assert ends(child)
    assert ends(parent)


@on_linux
@pytest.mark.parametrize("kind", ["wall", "virtual"])
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_the_whole_group_dies_with_the_call(kind, how: str, tmp_path) -> None:
    fifo = tmp_path / "pids"
    os.mkfifo(fifo)
    code = FAMILY.replace("flush=True", f"file=open({str(fifo)!r}, 'w'), flush=True")
    made = program(code, "stay", timeout=1 if how == "timeout" else None)

    async def main() -> list[int]:
        task = asyncio.create_task(called(made))
        pids = await asyncio.get_running_loop().run_in_executor(None, fifo.read_text)
        if how == "cancel":
            task.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancel" else ToolError):
            await task
        return [int(pid) for pid in pids.split()]

    began = time.monotonic()
    child, parent = run_in(lambda: new_loop(kind), main())
    assert time.monotonic() - began < 10
    assert ends(parent)
    assert ends(child)


def test_virtual_time_stands_still_meanwhile() -> None:
    async def main() -> float:
        await called(program("import time; time.sleep(0.1)"))
        return asyncio.get_running_loop().time()

    assert run_in(lambda: new_loop("virtual"), main()) == 0
