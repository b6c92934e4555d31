"""A plan with a journal in the folder that is named; a file there has a line for each step that has ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

from agentflow.errors import UserError
from agentflow.plan import Plan, Step
from agentflow.runtime import Runtime
from agentflow.runtime.schema import open_reader

__all__ = ["main"]

_STEPS = 60


def _make(log: Path) -> Plan:
    async def work(number: int, *before: int) -> int:
        await asyncio.sleep(0.005 * (number % 3))
        value = number + sum(before) % 1000
        with open(log, "a") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        return value

    plan = Plan(resources={"hand": 4})
    steps: list[Step[int]] = []
    for number in range(_STEPS):
        before = [steps[one].output for one in {number // 2, number // 3} if one < number]
        step = plan.step(work, number, *before).options(name=f"s{number}", resources={"hand": 1})
        steps.append(step)
    plan.map(work, list(range(100, 110))).options(name="each", resources={"hand": 1})
    return plan


def _known(journal: Path) -> set[str]:
    """Return the steps that the journal has when the work begins."""
    try:
        reader = open_reader(journal)
    except UserError:
        return set()
    try:
        runs = reader.runs()
        return {k for r in runs for k, s in reader.load(r.id)[r.id].steps.items() if s.status == "ok"}
    finally:
        reader.close()


async def _main(folder: Path) -> str:
    journal, log = folder / "runs.db", folder / "log"
    finished = _known(journal)
    before = Counter(log.read_text().split()) if log.exists() else Counter()
    print("ready", flush=True)
    async with Runtime(journal) as runtime:
        outputs = (await runtime.run(_make(log), key="k")).output
    after = Counter(log.read_text().split())
    again = [key for key in finished if not key.startswith("plan/") and _ran_again(key, before, after)]
    plain: dict[str, int] = {}
    for number in range(_STEPS):
        plain[f"s{number}"] = (
            number + sum(plain[f"s{one}"] for one in {number // 2, number // 3} if one < number) % 1000
        )
    if again:
        return f"run again: {again[:3]}"
    right = all(outputs[name] == value for name, value in plain.items())
    return (
        "right"
        if right and outputs["each"] == list(range(100, 110))
        else f"other output: {json.dumps(outputs)[:200]}"
    )


def _ran_again(key: str, before: Counter[str], after: Counter[str]) -> bool:
    number = str(100 + int(key.partition("/")[2])) if "/" in key else key.removeprefix("s")
    return number.isdigit() and after[number] > before[number]


def main() -> None:
    """Print `ready`, work, and print the verdict."""
    print(asyncio.run(_main(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
