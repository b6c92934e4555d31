"""Tables of the report: where `native` loses against `in_flight`, and the requests of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agentflow_bench.asynclm.latency import Case, Latencies, mean
from agentflow_bench.asynclm.task import SETTINGS, SPEEDS
from agentflow_bench.measure import Setting

__all__ = ["as_markdown", "commands", "losses", "per_task"]

_CHAT = ("sync_parallel", "native", "native_refs")


def losses(latencies: Latencies, setting: Setting) -> list[dict[str, object]]:
    """Return, by kind of task, setting and speed, what the native modes take beyond `in_flight`."""
    rows: list[dict[str, object]] = []
    for name in SETTINGS:
        for tps in SPEEDS:
            by_kind: dict[str, list[Case]] = {}
            for case in latencies.cases(setting, name, tps):
                by_kind.setdefault(case.task.kind, []).append(case)
            for kind, cases in by_kind.items():
                row: dict[str, object] = {"kind": kind, "setting": name, "tps": tps, "tasks": len(cases)}
                for mode in ("native", "native_refs"):
                    row[mode] = {
                        "ratio": round(mean([_ratio(case, mode) for case in cases]), 4),
                        "seconds": round(mean([_lost(case, mode) for case in cases]), 4),
                        "slower_on": sum(_lost(case, mode) > 0.001 for case in cases),
                    }
                rows.append(row)
    return rows


def per_task(cases: Sequence[Case]) -> list[dict[str, object]]:
    """Return requests and input tokens of each task in the modes of a chat API."""
    return [
        {
            "id": case.task.id,
            "kind": case.task.kind,
            "calls": len(case.task.calls),
            "requests": {mode: case.taken[mode].requests for mode in _CHAT},
            "input_tokens": {mode: case.taken[mode].input_tokens for mode in _CHAT},
        }
        for case in cases
    ]


def commands(result: Mapping[str, object]) -> str:
    """Return, as Markdown, how many bars of each measure are kept and the command that shows it."""
    lines = ["## Each measure by itself", "", "| measure | bars kept | command |", "|---|---|---|"]
    measures = result["measures"]
    assert isinstance(measures, list)
    for measure in measures:
        bars = [figure["met"] for figure in measure["figures"] if figure["bar"] is not None]
        command = f"`agentflow bench asynclm --data FILE --only {measure['name']}`"
        lines.append(f"| {measure['name']} | {sum(bars)} of {len(bars)} | {command} |")
    return "\n".join([*lines, ""])


def as_markdown(rows: Sequence[dict[str, object]], tasks: Sequence[dict[str, object]]) -> str:
    """Return both as Markdown: the losses by kind, and the requests of each task."""
    columns = [(name, tps) for name in SETTINGS for tps in SPEEDS]
    lines = [
        "## Where native loses against in-flight",
        "",
        "Seconds of a mode by those of `in_flight` on the same task, the mean of each kind, and in brackets"
        " the seconds lost. Without references each link of a chain costs a request. With them one request"
        " at the end is left; on chains it is sooner than `in_flight`, which writes no references here: the"
        " next call is on its way before the result it needs is there.",
        "",
    ]
    for mode in ("native", "native_refs"):
        lines += [
            f"| `{mode}` / `in_flight` | tasks | " + " | ".join(f"{n} {t}/s" for n, t in columns) + " |",
            "|---" * (len(columns) + 2) + "|",
        ]
        for kind in dict.fromkeys(str(row["kind"]) for row in rows):
            own = {(row["setting"], row["tps"]): row for row in rows if row["kind"] == kind}
            cells = [_cell(own[column], mode) for column in columns]
            count = own[columns[0]]["tasks"]
            lines.append(f"| {kind} | {count} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += [
        "## Requests and input tokens of each task",
        "",
        "At `chat_api`, 100 tokens a second; a token is four characters of what is sent.",
        "",
        "| task | calls | " + " | ".join(f"`{mode}`" for mode in _CHAT) + " |",
        "|---|---|" + "---|" * len(_CHAT),
    ]
    for task in tasks:
        requests, tokens = task["requests"], task["input_tokens"]
        assert isinstance(requests, dict)
        assert isinstance(tokens, dict)
        cells = [f"{requests[mode]} ({tokens[mode]})" for mode in _CHAT]
        lines.append(f"| {task['id']} | {task['calls']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _cell(row: dict[str, object], mode: str) -> str:
    told = row[mode]
    assert isinstance(told, dict)
    return f"{told['ratio']:.2f} ({told['seconds']:+.2f})".replace("-0.00", "+0.00")


def _ratio(case: Case, mode: str) -> float:
    return case.taken[mode].seconds / case.taken["in_flight"].seconds


def _lost(case: Case, mode: str) -> float:
    return case.taken[mode].seconds - case.taken["in_flight"].seconds
