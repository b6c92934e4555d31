"""Every AsyncHow question, asked of a planner at 600 requests a minute, killed half way, and gone on with.

    python examples/batch/main.py                           # 24 questions of our own, a few seconds
    python examples/batch/main.py --data PATH/TO/asynchow   # all 1,598, under three minutes

The server is a real one on 127.0.0.1 that refuses what is too much; behind it stands
`builtin:planner`, which is rules and no LLM. The client is the `agentflow batch` command. Its
process is killed (SIGKILL) when half of the questions are answered; then the same command runs again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agentflow import Endpoint
from agentflow.testing import LoopbackServer
from agentflow_protocols.duration import format_seconds

OWN = Path(__file__).parents[1] / "kitchen/questions.jsonl"
PLANNER = Endpoint("builtin:planner")
AGENTFLOW = [sys.executable, "-c", "from agentflow._cli import main; main()"]


def tasks(data: Path | None) -> Iterator[dict[str, Any]]:
    """Read the tasks: of a file, or of all files in a folder."""
    files = [OWN] if data is None else sorted(data.glob("*.jsonl")) if data.is_dir() else [data]
    for file in files:
        for line in file.read_text().splitlines():
            yield json.loads(line)


def wording(task: Mapping[str, Any]) -> str:
    """Return a task as a question."""
    lines = [f"Task: {task['title'].removeprefix('How to ')}."]
    lines += [f"{s['id']}. {s['text']} ({format_seconds(s['seconds'][1])})" for s in task["steps"]]
    lines += [f"Step {a} must precede step {b}." for a, b in task["edges"]]
    if not task["edges"]:
        lines.append("All steps can run in parallel.")
    lines.append("What is the shortest possible time? Put the answer in double quotes.")
    return "\n".join(lines)


def record(task: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return a task as a line of an experiment, with the answer that a scorer looks for."""
    expected = f'"{format_seconds(task["optimal_seconds"][1])}"'
    return {
        "id": task["id"],
        "api": "openai",
        "model_name": model,
        "prompt": wording(task),
        "expected_response": expected,
    }


def plan(body: Mapping[str, Any]) -> str:
    """Return what the planner answers: the server's side."""
    text = body["messages"][-1]["content"]
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, PLANNER.complete(text)).result().message.text


def main() -> None:
    """Write the experiment, start the server, run the command, kill it, run it again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder with AsyncHow's .jsonl files, or one of them")
    parser.add_argument("--rate", type=float, default=600, help="requests a minute that the server allows")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopbackServer(plan, requests_per_minute=options.rate, first_token_s=0.1, model="planner") as server,
    ):
        work = Path(folder)
        rows = [record(task, "planner") for task in tasks(options.data)]
        (work / "asynchow.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        command = [*AGENTFLOW, "batch", "asynchow.jsonl", "-mq", f"{options.rate:g}", "-s", "includes"]
        environment = {**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none-needed"}
        print(f"{len(rows)} questions at {options.rate:g} a minute: {len(rows) / options.rate * 60:.0f} s")

        first = subprocess.Popen(command, cwd=work, env=environment)
        half = len(rows) // 2
        server.wait_for(lambda: sum(r.status == 200 for r in server.requests) >= half, timeout=3600)
        first.kill()
        first.wait()
        (completed,) = work.glob("data/output/asynchow/*-completed-*")
        written = completed.read_text().count("\n")
        print(f"killed after {len(server.requests)} requests, {written} answers written; the same again")

        again = subprocess.run([*command, "--json"], cwd=work, env=environment, stdout=subprocess.PIPE)
        report = json.loads(again.stdout)
        lines = [json.loads(line) for line in completed.read_text().splitlines()]
        asked = Counter(str(request.body["messages"]) for request in server.requests)
        before = report["skipped_finished"]
        print(f"answered {report['answered']} of {report['prompts']}, {before} before the kill")
        print(f"one line each: {len({line['id'] for line in lines}) == len(lines) == len(rows)}")
        print(f"asked twice (under way at the kill): {sum(count - 1 for count in asked.values())}")
        print(f"refused by the server: {sum(request.status == 429 for request in server.requests)}")
        print(f"right, says the scorer: {sum(line['includes'] for line in lines)} of {len(lines)}")


if __name__ == "__main__":
    main()
