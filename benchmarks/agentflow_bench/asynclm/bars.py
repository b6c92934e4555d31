"""The bars of the latency model: how near each mode comes to what it must reach."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from agentflow_bench.asynclm.latency import Case, Latencies, mean, run_tasks
from agentflow_bench.asynclm.simulate import MARKUP_WITH_REFERENCES
from agentflow_bench.asynclm.task import SETTINGS, SPEEDS, pace
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["latency_measures"]

_TOLERANCE_S = 0.001
_TEXT_BARS = {20: 1.05, 50: 1.08, 100: 1.12}


def latency_measures(latencies: Latencies) -> list[Measure]:
    """Return the measures that look at what each mode takes."""
    return [
        Measure(
            "sync", "Sequential and parallel calling against their known times.", partial(_sync, latencies)
        ),
        Measure(
            "in_flight", "Interrupts between two tokens, against the bounds.", partial(_in_flight, latencies)
        ),
        Measure("cml", "Markup over requests, against interrupts that cost none.", partial(_cml, latencies)),
        Measure(
            "native", "Chat APIs with tool calls, without and with references.", partial(_native, latencies)
        ),
        Measure(
            "references",
            "Markup whose calls may name results that are not there yet, against the others.",
            partial(_references, latencies),
        ),
        Measure(
            "requests", "Requests and input tokens of a task on a chat API.", partial(_requests, latencies)
        ),
    ]


def _all(latencies: Latencies, setting: Setting, names: Sequence[str] = tuple(SETTINGS)) -> list[Case]:
    return [case for name in names for tps in SPEEDS for case in latencies.cases(setting, name, tps)]


def _sync(latencies: Latencies, setting: Setting) -> Sequence[Figure]:
    cases = _all(latencies, setting)
    figures = [Figure("tasks in all settings, at all speeds", len(cases))]
    for mode in ("sync_sequential", "sync_parallel"):
        off = max(abs(case.beyond(mode, mode)) for case in cases)
        figures.append(Figure(f"{mode}, farthest from the expected", off * 1000, "ms", Bar("<=", 1)))
    return figures


def _in_flight(latencies: Latencies, setting: Setting) -> Sequence[Figure]:
    cases = _all(latencies, setting, ("ideal", "local"))
    below = sum(case.beyond("in_flight", "lower_bound") < -_TOLERANCE_S for case in cases)
    late = max(case.beyond("in_flight", "async_critical") for case in cases)
    figures = [
        Figure("tasks below the lower bound", below, "", Bar("==", 0)),
        Figure("farthest beyond async_critical", late * 1000, "ms", Bar("<=", 1)),
    ]
    for name in ("ideal", "local"):
        for tps in SPEEDS:
            ratio = mean(
                [case.ratio("in_flight", "async_optimal") for case in latencies.cases(setting, name, tps)]
            )
            bar = None if setting.quick else Bar("<=", 1.01)  # a bar for the mean of all tasks
            figures.append(Figure(f"{name}, {tps} tokens/s: in_flight / async_optimal", ratio, "x", bar))
    return figures


def _cml(latencies: Latencies, setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    for mode in ("cml_text", "cml_chat"):
        for name in ("local", "chat_api"):
            for tps in SPEEDS:
                cases = latencies.cases(setting, name, tps)
                ratios = [case.ratio(mode, "async_critical") for case in cases]
                worst = max((ratio for ratio in ratios if ratio is not None), default=0.0)
                judged = mode == "cml_text" and name == "local" and not setting.quick
                bar = Bar("<=", _TEXT_BARS[tps]) if judged else None
                figures.append(
                    Figure(
                        f"{name}, {tps} tokens/s: {mode} / async_critical",
                        mean(ratios),
                        "x",
                        bar,
                        f"at most {worst:.3f}",
                    )
                )
    return figures


def _native(latencies: Latencies, setting: Setting) -> Sequence[Figure]:
    cases = _all(latencies, setting)
    late = max(case.beyond("native", "native") for case in cases)
    late_refs = max(case.beyond("native_refs", "native_refs") for case in cases)
    other = "sync_parallel_streamed_lpt"
    slower = sum(case.beyond("native_refs", other) > _TOLERANCE_S for case in cases)
    figures = [
        Figure("native, farthest beyond the expected", late * 1000, "ms", Bar("<=", 1)),
        Figure("native_refs, farthest beyond the expected", late_refs * 1000, "ms", Bar("<=", 1)),
        Figure(f"tasks on which native_refs is slower than {other}", slower, "", Bar("==", 0)),
    ]
    for name in SETTINGS:
        for tps in SPEEDS:
            some = latencies.cases(setting, name, tps)
            at = f"{name}, {tps} tokens/s"
            ratio = mean([case.ratio("native_refs", other) for case in some])
            sooner = mean([1 / (case.ratio("native_refs", "sync_sequential") or 1) for case in some])
            figures += [
                Figure(f"{at}: native_refs / {other}", ratio, "x", Bar("<=", 1)),
                Figure(f"{at}: native_refs sooner than sync_sequential", sooner, "x"),
            ]
    return figures


def _references(latencies: Latencies, setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    tasks = latencies.tasks(setting)
    modes = tuple(MARKUP_WITH_REFERENCES)
    for name, tps in (("local", 50), ("chat_api", 100)):
        taken = run_tasks(tasks, pace(name, tps), modes)
        cases = [Case(task, name, tps, each) for task, each in zip(tasks, taken, strict=True)]
        for mode, others in (
            ("cml_text_refs", ("native_refs", "cml_text")),
            ("in_flight_refs", ("native_refs", "in_flight")),
        ):
            for other in others:
                ratios = [
                    case.taken[mode].seconds / plain.taken[other].seconds
                    for case, plain in zip(cases, latencies.cases(setting, name, tps), strict=True)
                ]
                figures.append(Figure(f"{name}, {tps} tokens/s: {mode} / {other}", mean(ratios), "x"))
    return figures


def _requests(latencies: Latencies, setting: Setting) -> Sequence[Figure]:
    cases = latencies.cases(setting, "chat_api", 100)
    more = sum(
        case.taken["native_refs"].requests > case.taken["sync_parallel"].requests
        for case in _all(latencies, setting)
    )
    figures = [Figure("tasks on which native_refs sends more than sync_parallel", more, "", Bar("==", 0))]
    for mode in ("sync_parallel", "native", "native_refs"):
        requests = mean([case.taken[mode].requests for case in cases])
        tokens = mean([case.taken[mode].input_tokens for case in cases])
        figures += [
            Figure(f"requests of {mode}", requests, "a task"),
            Figure(f"input tokens of {mode}", tokens, "a task", note="four characters each"),
        ]
    return figures
