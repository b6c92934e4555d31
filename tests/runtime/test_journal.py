"""The journal: steps once, in any order; files that are not ours; kills."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import BaseModel
from virtual import virtual

from agentflow import Context, RunError, Runtime, UserError
from agentflow.runtime.schema import open_reader

HERE = Path(__file__).parent


class Pot(BaseModel):
    litres: float


@virtual
async def test_a_step_is_done_once_and_read_back_as_its_type(tmp_path):
    done = []

    async def fill(litres: float) -> Pot:
        done.append(litres)
        return Pot(litres=litres)

    async def job(context: Context[object], fail: bool) -> Pot:
        # The two branches end in the other order the second time; names keep them apart.
        order = [0.1, 0.2] if not done else [0.2, 0.1]

        async def branch(n: int) -> Pot:
            await asyncio.sleep(order[n])
            return await context.step(f"fill {n}", fill, n + 1.0)

        pots = await asyncio.gather(branch(0), branch(1))
        assert [pot.litres for pot in pots] == [1, 2]
        if len(done) == 2 and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            raise RuntimeError("crash")
        return pots[1]

    path = tmp_path / "runs.db"
    async with Runtime(path) as runtime:
        with pytest.raises(RuntimeError, match="crash"):
            await runtime.run(job, True, key="k")
    async with Runtime(path) as runtime:
        result = await runtime.run(job, True, key="k")
        assert result.output == Pot(litres=2)
        assert (await runtime.run(job, True, key="k")).output == Pot(litres=2)
        assert [row.status for row in await runtime.runs()] == ["succeeded"]
    assert sorted(done) == [1, 2]
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"


@virtual
async def test_keys_are_used_once_and_inputs_must_stay(tmp_path):
    async def twice(context: Context[object], n: int) -> None:
        await context.step("a", abs, n)
        await context.step("a", abs, n)

    async def once(context: Context[object], n: int) -> None:
        await context.step("a", dict, [("deep", {"x": n, "secret": [1, n]})])
        raise RuntimeError

    async def other(context: Context[object], n: int) -> None:
        await context.step("a", dict, [("deep", {"x": n, "secret": [1, 99]})])

    async def odd(context: Context[object], n: int) -> None:
        await context.step("a", id, object())

    async with Runtime(tmp_path / "runs.db") as runtime:
        with pytest.raises(UserError, match="step 'a' is used twice"):
            await runtime.run(twice, 1)
        with pytest.raises(UserError, match="the input of step 'a' can't be put into the journal"):
            await runtime.run(odd, 1)
        with pytest.raises(RuntimeError):
            await runtime.run(once, 7, key="k")
        with pytest.raises(
            UserError, match=r"recorded with another input at \$\[0\]\[0\]\[0\]\[1\]\.secret\[1\]"
        ):
            await runtime.run(other, 7, key="k")


@virtual
async def test_children_and_artifacts_are_kept(tmp_path):
    runs = []

    async def child(context: Context[object], n: int) -> int:
        runs.append(n)
        await context.artifact("big", b"x" * 100_000)
        return n * 2

    async def job(context: Context[object], n: int) -> int:
        first = (await context.run(child, n, key="one")).output
        if len(runs) == 1:
            raise RuntimeError
        return first + (await context.run(child, n + 1, key="two")).output

    async with Runtime(tmp_path / "runs.db") as runtime:
        with pytest.raises(RuntimeError):
            await runtime.run(job, 1, key="k")
        runs.append(0)
        assert (await runtime.run(job, 1, key="k")).output == 6
        run_id = (await runtime.runs())[0].id
    assert runs == [1, 0, 2]
    reader = open_reader(tmp_path / "runs.db")
    assert reader.artifact(f"{run_id}/one", "big") == b"x" * 100_000
    reader.close()


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\0" + b"\xff" * 200])
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "runs.db"
    path.write_bytes(content)

    @virtual
    async def run_it():
        with pytest.raises(RunError, match="left as it is"):
            async with Runtime(path):
                pass

    run_it()
    assert path.read_bytes() == content


@virtual
async def test_other_databases_and_newer_journals_are_refused(tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE cats (name)")
    db.close()
    with pytest.raises(RunError, match="another program"):
        async with Runtime(other):
            pass
    newer = tmp_path / "newer.db"
    async with Runtime(newer):
        pass
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(RunError, match="newer agentflow"):
        async with Runtime(newer):
            pass
    with pytest.raises(UserError, match="no journal"):
        open_reader(tmp_path / "none.db")
    with pytest.raises(RunError, match="name another file"):
        async with Runtime("/proc/nope/runs.db"):
            pass
    with pytest.raises(UserError, match="PostgreSQL"):
        Runtime("postgresql://x")


@virtual
async def test_one_owner_writes_and_readers_are_welcome(tmp_path):
    path = tmp_path / "runs.db"

    async def job(context: Context[object], n: int) -> int:
        await context.step("a", abs, n)
        return n

    async with Runtime(path) as runtime:
        await runtime.run(job, 1)
        with pytest.raises(RunError, match=f"process {os.getpid()} owns it"):
            async with Runtime(path):
                pass
        reader = open_reader(path)
        assert [row.status for row in reader.runs()] == ["succeeded"]
        reader.close()
    async with Runtime(path) as runtime:
        assert len(await runtime.runs()) == 1


def test_a_full_disk_fails_the_run_and_keeps_what_was_finished(tmp_path):
    program = """
import asyncio, resource, signal, sys
from agentflow import Runtime, RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def job(context, n):
    for i in range(1000):
        await context.step(f"s{i}", str, "x" * 2000)
        print(i, flush=True)
async def main():
    async with Runtime(sys.argv[1]) as runtime:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        await runtime.run(job, 1, key="k")
try:
    asyncio.run(main())
except RunError as error:
    print("RunError", error)
"""
    path = tmp_path / "runs.db"
    out = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60
    )
    assert "RunError journal" in out.stdout, out.stderr
    assert "what was finished before is kept" in out.stdout
    finished = [line for line in out.stdout.splitlines() if line.isdigit()]
    reader = open_reader(path)
    record = next(iter(reader.load(reader.find("k")).values()))
    reader.close()
    assert len(finished) > 5
    assert {f"s{n}" for n in finished} <= set(record.steps)


def killed_once(folder: Path, after: float) -> None:
    """Start the worker, kill it after `after` seconds, and let a second one end the work."""
    command = [sys.executable, str(HERE / "killed_worker.py"), str(folder)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    time.sleep(after)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    out = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert out.stdout.splitlines()[-1] == "right", out.stdout + out.stderr


def test_kill_9_loses_no_finished_step_and_doubles_no_call_of_the_model(tmp_path):
    """Five random kills here; `agentflow bench foundation` does a hundred."""
    rng = random.Random(5)
    for n in range(5):
        folder = tmp_path / str(n)
        folder.mkdir()
        killed_once(folder, rng.uniform(0.0, 0.5))
