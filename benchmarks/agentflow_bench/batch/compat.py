"""prompto's own experiments, unchanged: each line is answered, with prompto's keys in order, and ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from agentflow_bench.batch.experiment import COMMAND, whole_lines
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_bench.peers import metered, plain_environment

__all__ = ["COMPAT"]

_OURS = {
    "usage",
    "cost",
    "finish_reason",
    "latency_s",
    "attempts",
    "endpoint",
    "timestamp_received",
}
_ERROR = "error"


def _variables(root: str) -> dict[str, str]:
    """Return the variables that point each api at the server."""
    return {
        "OPENAI_API_KEY": "k",
        "AZURE_OPENAI_API_KEY": "k",
        "AZURE_OPENAI_API_ENDPOINT": root,
        "AZURE_OPENAI_API_VERSION": "2024-02-01",
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_BASE_URL": root,
        "GEMINI_API_KEY": "k",
        "GEMINI_BASE_URL": root,
        "OLLAMA_API_ENDPOINT": root,
    }


def _faults(experiment: Path, line: dict[str, object], asked: dict[str, object]) -> str | None:
    """Return what is wrong with an output line; None when it is as it should be."""
    keys = list(line)
    media = "multimodal" in experiment.name
    if keys[: len(asked)] != list(asked):
        return "the input's keys are not in their order"
    error = line.get(_ERROR)
    if error is not None:
        missing = isinstance(error, dict) and error.get("type") == "FileNotFoundError"
        return None if media and missing else f"an error: {error}"
    rest = [key for key in keys[len(asked) :] if key not in _OURS and key != "safety_attributes"]
    if rest != ["timestamp_sent", "response"]:
        return f"keys: {', '.join(rest)}"
    if not _OURS.issubset(keys):
        return f"lacks {', '.join(sorted(_OURS - set(keys)))}"
    wanted = list if isinstance(asked["prompt"], list) and isinstance(asked["prompt"][0], str) else str
    return None if isinstance(line["response"], wanted) else "the response's form"


def _one(server: Served, experiment: Path) -> tuple[int, int, list[str]]:
    """Run one experiment; return its lines, those with a right output line, and what was wrong."""
    rows = map(json.loads, experiment.read_text().splitlines())
    asked = {json.dumps(row["id"]): row for row in rows}
    with TemporaryDirectory() as folder:
        file = Path(folder) / experiment.name
        shutil.copyfile(experiment, file)
        words = ["batch", "-f", str(file), "-d", f"{folder}/data", "-mq", "6000", "-q", "--json"]
        metered(COMMAND, words, plain_environment(server.url, **_variables(server.root)), cwd=Path(folder))
        output = Path(folder) / "data" / "output" / experiment.stem
        lines = [line for path in output.glob("*-completed-*.jsonl") for line in whole_lines(path)]
    wrong = [
        f"{experiment.name} {line['id']}: {fault}"
        for line in lines
        if (fault := _faults(experiment, line, asked[json.dumps(line["id"])])) is not None
    ]
    return len(asked), len({json.dumps(line["id"]) for line in lines}) - len(wrong), wrong


def _compat(setting: Setting) -> Sequence[Figure]:
    if setting.data is None:
        raise Skipped("needs prompto's example experiments: --data FOLDER, or AGENTFLOW_PROMPTO")
    found = [*setting.data.glob("*/input/*.jsonl"), *setting.data.glob("groups/*.jsonl")]
    if not found:
        raise Skipped(
            f"no experiments in {setting.data.name}: NAME/input/*.jsonl and groups/*.jsonl are wanted"
        )
    figures = []
    with Served(Rules()) as server:
        found.sort()
        with ThreadPoolExecutor(2) as pool:
            ran = list(pool.map(partial(_one, server), found))
        for experiment, (count, good, wrong) in zip(found, ran, strict=True):
            note = wrong[0] if wrong else ""
            if "multimodal" in experiment.name:
                note = note or "the media are not there: those lines say which file is missing"
            figures.append(
                Figure(f"{experiment.stem}: lines as they should be", good, "", Bar("==", count), note)
            )
    return figures


COMPAT = Measure(
    "prompto", "prompto's own example experiments, unchanged, over each provider's form.", _compat
)
