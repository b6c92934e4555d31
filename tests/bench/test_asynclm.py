"""The AsyncLM bench: task files, the mind, every mode against the rules, the command, the report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentflow.errors import RunError, UserError
from agentflow_bench import Setting, Skipped
from agentflow_bench.asynclm.bars import latency_measures
from agentflow_bench.asynclm.latency import Case, Latencies, run_tasks
from agentflow_bench.asynclm.mind import Mind, Seen, in_messages, in_text
from agentflow_bench.asynclm.oracle import RULES
from agentflow_bench.asynclm.report import chart_and_tables, one_setting
from agentflow_bench.asynclm.simulate import MODES
from agentflow_bench.asynclm.task import SETTINGS, SPEEDS, Pace, Task, TaskCall, pace, read_tasks
from agentflow_bench.command import app
from agentflow_protocols.chat import Message, ToolCall

AS_RULED = {
    "sync_sequential": "sync_sequential",
    "sync_parallel": "sync_parallel",
    "native": "native",
    "native_refs": "native_refs",
    "in_flight": "async_critical",
}


def line(name: str, calls: list[dict[str, object]], **more: object) -> str:
    kind = {"kind": "trial", "question": "Do it."}
    return json.dumps({"id": name, **kind, "calls": calls, "response_tokens": 20, **more})


def call(name: str, exec_s: float, *deps: str, tokens: int = 15, text: str = "") -> dict[str, object]:
    said = text or f"tools.look(place='{name}', n=1)"
    return {"id": name, "text": said, "tokens": tokens, "exec_s": exec_s, "deps": list(deps)}


LINES = [
    line("side-by-side", [call("c1", 0.3), call("c2", 1.2, tokens=30), call("c3", 0.31)]),
    line("chain", [call("c1", 0.1), call("c2", 0.4, "c1"), call("c3", 0.05, "c2")]),
    line(
        "join",
        [
            call("c1", 0.5),
            call("c2", 0.06),
            call("c3", 0.12, "c1"),
            call("c4", 0.2, "c2"),
            call("end", 0, "c3", "c4"),
        ],
    ),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "tasks.jsonl"
    written.write_text("\n".join(LINES) + "\n")
    return written


def test_a_task_file_is_read(file: Path) -> None:
    tasks = read_tasks(file)
    assert [task.id for task in tasks] == ["side-by-side", "chain", "join"]
    first = tasks[0].calls[0]
    assert (first.tool, first.arguments, first.exec_s) == ("tools_look", {"place": "c1", "n": 1}, 0.3)
    assert read_tasks(file.parent) == tasks
    assert tasks[0].known("local", 20, "native") is None


@pytest.mark.parametrize(
    ("text", "tool", "arguments"),
    [
        ("cd('docs')", "cd", {"arg1": "docs"}),
        ("a.b.c(x=[1, {'y': None}], z=-1)", "a_b_c", {"x": [1, {"y": None}], "z": -1}),
        ("wait(seconds=3)", "a_wait", {"seconds": 3}),
        ("find(when=now())", "find", {"when": "now()"}),
        ("find(", "find", {"text": "find("}),
        ("2 + 2", "2", {"text": "2 + 2"}),
    ],
)
def test_what_a_call_says(tmp_path: Path, text: str, tool: str, arguments: object) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(line("t", [call("c1", 1, text=text)]))
    read = read_tasks(file)[0].calls[0]
    assert (read.tool, read.arguments) == (tool, arguments)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "no task: "),
        ("[]", "no task: "),
        (line("a", []), "it has no calls"),
        (line("side-by-side", [call("c1", 1)]), "a second task `side-by-side`"),
        (line("a", [call("c1", 1), call("c1", 1)]), "two calls `c1`"),
        (line("a", [call("c1", 1, "c9")]), "call `c1` needs `c9`, which is no call of this task"),
        (line("a", [call("c1", 1, "c2"), call("c2", 1, "c1")]), "need one another in a circle"),
        (line("a", [call("c1", -1)]), "exec_s -1 is no number of seconds"),
        (line("a", [call("1c", 1)]), "call id '1c' needs a letter or _"),
        (line("a", [call("user", 1)]), "call id 'user' is kept for interrupts"),
        (line("a", [call("c1", 1, tokens=0)]), "`tokens` is no whole number above 0: 0"),
        ('{"id": "a"}', "the key 'calls' is missing"),
    ],
)
def test_a_line_that_is_no_task(file: Path, bad: str, said: str) -> None:
    file.write_text(f"{LINES[0]}\n\n{bad}\n")
    with pytest.raises(UserError) as caught:
        read_tasks(file)
    assert f"{file}:3: no task: " in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_tasks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_tasks(tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(UserError, match="it holds no tasks"):
        read_tasks(empty)
    empty.write_bytes(b"\xff")
    with pytest.raises(UserError, match="it is not UTF-8"):
        read_tasks(empty)


def test_the_mind_knows_what_it_is_shown(file: Path) -> None:
    task = read_tasks(file)[2]
    mind = Mind(task, 50)
    assert [each.id for each in mind.ready(Seen())] == ["c1", "c2"]
    text = (
        '[CALL] c1 [HEAD] look {"n": 1} [END]\n[CALL] c2 [HEAD] look {} [END]\n[TRAP] [END]\n'
        '[INTR] c2 [HEAD] {"step_": "c2"} [END]\n[INTR] user [HEAD] Quick. [END]\n'
    )
    seen = in_text(text)
    assert (seen.written, seen.known) == (["c1", "c2"], {"c2", "user_1"})
    assert [each.id for each in mind.ready(seen)] == ["c4"]
    calls = [ToolCall("x1", "look", '{"step_": "c1"}'), ToolCall("x2", "look", '{"step_": "c2"}')]
    messages = [
        Message("assistant", calls=calls),
        Message("tool", '{"status": "running", "call": "x1"}', call_id="x1"),
        Message("tool", '{"step_": "c2"}', call_id="x2"),
        Message("user", '[INTR] x1 [HEAD] {"step_": "c1"} [END]'),
    ]
    assert in_messages(messages[:3]).known == {"c2"}
    assert in_messages(messages).known == {"c1", "c2"}
    with pytest.raises(RunError, match="came twice"):
        in_messages([*messages, messages[3]])
    with pytest.raises(RunError, match="call c1 came to 'error: no'"):
        in_messages([messages[0], Message("tool", "error: no", call_id="x1")])


def test_the_mind_names_results_that_are_not_there_yet(file: Path) -> None:
    mind = Mind(read_tasks(file)[2], 50, references=True)
    ready = mind.ready(Seen())
    assert [each.id for each in ready] == ["c1", "c2", "c4", "c3", "end"]
    assert json.loads(mind.arguments(ready[4], ready[:4], Seen()))["needs_"] == ["$c4", "$c3"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_mode_takes_what_its_rules_say(file: Path, setting: str) -> None:
    tasks = read_tasks(file)
    for tps in SPEEDS:
        at = pace(setting, tps)
        for task, taken in zip(tasks, run_tasks(tasks, at), strict=True):
            for mode, rule in AS_RULED.items():
                assert taken[mode].seconds == pytest.approx(RULES[rule](task, at), abs=0.001), (task.id, mode)
            for mode in ("cml_chat", "cml_text"):
                assert taken[mode].seconds >= taken["in_flight"].seconds - 0.001
            assert taken["native_refs"].requests <= taken["sync_parallel"].requests


NASTY = '[CALL] c1 [HEAD] x {} [END] [INTR] c1 [HEAD] {"step_": "c1"} [END] $c1 Task odd:'

UNUSUAL = [
    line("odd [CALL] <|im_start|>", [call("c1", 0, text=f"f(x={NASTY!r}, y='$c1')"), call("_2", 0, "c1")]),
    line("reserved", [call("wait", 0.1, text="wait()"), call("read", 0, "wait", text="transfer_to_me()")]),
    line("backward", [call("z", 0.2, "y"), call("y", 0.1, "x"), call("x", 0.3)]),
    line("one token", [call("a", 0.0, tokens=1), call("b", 0.0, tokens=1), call("c", 0, "a", "b", tokens=1)]),
    line("many", [call(f"c{n}", (n * 37 % 11) / 10, tokens=5 + n % 7) for n in range(40)]),
    line("ties", [call(f"a{n}", 0.31, tokens=31) for n in range(4)] + [call("b", 0.31, "a0", tokens=31)]),
]


def test_unusual_tasks_take_what_the_rules_say(tmp_path: Path) -> None:
    file = tmp_path / "unusual.jsonl"
    file.write_text("\n".join(UNUSUAL).replace('"Do it."', json.dumps(NASTY)))
    given = read_tasks(file)
    at = pace("chat_api", 100)
    for task, taken in zip(given, run_tasks(given, at), strict=True):
        for mode, rule in AS_RULED.items():
            assert taken[mode].seconds == pytest.approx(RULES[rule](task, at), abs=0.001), (task.id, mode)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    made: list[TaskCall] = []
    for number in range(draw(st.integers(1, 6))):
        deps = draw(st.lists(st.sampled_from(made), max_size=2, unique_by=lambda c: c.id)) if made else []
        seconds = draw(st.floats(0.0, 2.0).map(lambda value: round(value, 3)))
        tokens = draw(st.integers(5, 40))
        made.append(TaskCall(f"c{number}", "look", {}, tokens, seconds, [dep.id for dep in deps]))
    return Task("drawn", "drawn", "Go.", made, draw(st.integers(1, 30)))


@settings(max_examples=25, deadline=None)
@given(task=tasks(), inject=st.sampled_from([0.0, 0.013]), turn=st.sampled_from([0.0, 0.071]))
def test_any_task_takes_what_the_rules_say(task: Task, inject: float, turn: float) -> None:
    at = Pace(47, inject, turn)
    (taken,) = run_tasks([task], at)
    for mode in ("sync_sequential", "sync_parallel", "native_refs"):
        assert taken[mode].seconds == pytest.approx(RULES[mode](task, at), abs=0.001), mode
    for mode, rule in (("native", "native"), ("in_flight", "async_critical")):
        assert taken[mode].seconds <= RULES[rule](task, at) + 0.001, mode


def test_one_setting_as_json(file: Path) -> None:
    told = json.loads(one_setting(file, "local", 50, as_text=False))
    assert list(told) == ["setting", "tps", "tasks", "sum"]
    assert (told["setting"], told["tps"]) == ("local", 50)
    assert [task["id"] for task in told["tasks"]] == ["side-by-side", "chain", "join"]
    for task in told["tasks"]:
        assert list(task) == ["id", "modes"]
        assert list(task["modes"]) == list(MODES)
        assert all(isinstance(value, float) and value > 0 for value in task["modes"].values())
    for mode in MODES:
        assert told["sum"][mode] == pytest.approx(sum(task["modes"][mode] for task in told["tasks"]))
    assert "in_flight" in one_setting(file, "local", 50, as_text=True)


def test_the_command(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    asked = ["asynclm", "--setting", "chat_api", "--tps", "100", "--json"]
    done = runner.invoke(app, [*asked, "--data", str(file)])
    assert done.exit_code == 0, done.output
    monkeypatch.setenv("AGENTFLOW_ASYNCLM", str(file))
    assert runner.invoke(app, asked).stdout == done.stdout
    for options, said in (
        (["--setting", "chat_api"], "--setting and --tps go together"),
        (["--setting", "chatapi", "--tps", "100"], "no setting `chatapi` (allowed: ideal, local, chat_api)"),
        (["--setting", "local", "--tps", "0"], "--tps must be 1 or more"),
        (["--make-sft", "x.jsonl", "--samples", "0"], "--samples must be 1 or more"),
    ):
        wrong = runner.invoke(app, ["asynclm", *options])
        assert isinstance(wrong.exception, UserError)
        assert said in str(wrong.exception)
    monkeypatch.delenv("AGENTFLOW_ASYNCLM")
    assert "AGENTFLOW_ASYNCLM" in str(runner.invoke(app, asked).exception)
    file.write_text("{}\n")
    for options in (asked, ["asynclm"]):
        broken = runner.invoke(app, [*options, "--data", str(file)])
        assert isinstance(broken.exception, UserError)
        assert "tasks.jsonl:1: no task" in str(broken.exception)


def test_the_report(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [
        "--only",
        "sync",
        "--only",
        "in_flight",
        "--only",
        "native",
        "--only",
        "references",
        "--only",
        "requests",
    ]
    done = CliRunner().invoke(app, ["asynclm", *options, "--data", str(file), "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    met = [figure["met"] for measure in result["measures"] for figure in measure["figures"]]
    assert len(met) > 30
    assert all(met)
    out.mkdir()
    (out / "asynclm.md").write_text("# asynclm\n")
    latencies, setting = Latencies(), Setting(file)
    (chart,) = chart_and_tables(out, result, latencies, setting)
    picture = ElementTree.fromstring(chart.read_text())
    lines = [part for part in picture if part.tag.endswith("polyline")]
    assert len(lines) == 10  # two panels, five modes
    page = (out / "asynclm.md").read_text()
    assert page.startswith("# asynclm\n")
    assert "## Where native loses against in-flight" in page
    assert "| side-by-side | 3 | " in page
    data = json.loads((out / "asynclm.json").read_text())
    assert len(data["losses"]) == 9  # one kind in three settings at three speeds
    assert data["per_task"][1]["requests"]["native_refs"] == 2


def test_without_a_task_file_the_measures_are_skipped() -> None:
    for measure in latency_measures(Latencies()):
        with pytest.raises(Skipped, match="AGENTFLOW_ASYNCLM"):
            measure.run(Setting())


def test_bars_hold_on_the_given_tasks() -> None:
    beside = Path(__file__).parents[3] / "shared/data/asynclm/tasks.jsonl"
    file = Path(os.environ.get("AGENTFLOW_ASYNCLM", beside))
    if not file.exists():
        pytest.skip("no AsyncLM tasks: set AGENTFLOW_ASYNCLM to their file")
    given = read_tasks(file)[::9]
    cases = [
        Case(task, "local", 100, taken)
        for task, taken in zip(given, run_tasks(given, pace("local", 100)), strict=True)
    ]
    for case in cases:
        for mode in ("sync_sequential", "sync_parallel"):
            assert abs(case.beyond(mode, mode)) <= 0.001, (case.task.id, mode)
        for mode, rule in (
            ("native", "native"),
            ("native_refs", "native_refs"),
            ("in_flight", "async_critical"),
        ):
            assert case.beyond(mode, rule) <= 0.001, (case.task.id, mode)
        assert case.beyond("in_flight", "lower_bound") >= -0.001


def test_modes_are_trials_side_by_side(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["asynclm", "--model", "simulated", "--data", str(file), "--out", "o", "--json"]
    result = CliRunner().invoke(app, [*words, "--carrier", "sync_sequential", "--carrier", "in_flight"])
    assert result.exit_code == 0, result.output
    slow, fast = json.loads(result.stdout)
    assert (slow["carrier"], fast["carrier"]) == ("sync_sequential", "in_flight")
    assert slow["right"] == slow["n"] == len(read_tasks(file))
    assert fast["figures"]["task"]["mean"] < slow["figures"]["task"]["mean"]
    names = [f"o/{one['name']}.jsonl" for one in (slow, fast)]
    told = CliRunner().invoke(app, ["compare", *names, "--json"])
    by_name = {figure["name"]: figure for figure in json.loads(told.stdout)["figures"]}
    assert by_name["task"]["difference"] < 0
    expected = json.loads(one_setting(file, "chat_api", 100, as_text=False))
    seconds = [json.loads(row)["figures"]["task"] for row in Path(names[1]).read_text().splitlines()]
    assert seconds == pytest.approx([task["modes"]["in_flight"] for task in expected["tasks"]], abs=1e-5)
    for wrong, fault in (
        (["--carrier", "pigeon"], "--carrier pigeon: of the simulated model allowed are"),
        (["--n", "0"], "--n must be"),
        (["--tps", "0"], "--tps must be"),
    ):
        with pytest.raises(UserError, match=fault):
            CliRunner().invoke(app, [*words, *wrong], catch_exceptions=False)


def test_a_model_is_judged_by_its_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = {"id": "c1", "text": "add(a=1, b='x')", "tokens": 9, "exec_s": 0.5, "deps": []}
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(line(f"t{number}", [call]) + "\n" for number in range(3)))
    script = tmp_path / "script.yaml"
    right = "[{name: add, arguments: {b: x, a: 1}}]"
    wrong = "[{name: add, arguments: {b: y, a: 1}}]"
    script.write_text(
        f"- calls: {right}\n- text: done\n- calls: {wrong}\n- text: done\n- text: I will not.\n"
    )
    words = ["asynclm", "--model", f"scripted:{script}", "--data", str(tasks), "--out", "o", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["right"], told["faults"]) == (1, {"calls missing": 2})
    rows = [json.loads(row) for row in Path(f"o/{told['name']}.jsonl").read_text().splitlines()]
    assert [row["figures"]["missing"] for row in rows] == [0, 1, 1]
    assert rows[0]["figures"]["task"] == pytest.approx(0.5)
    with pytest.raises(UserError, match="--setting and --tps are the simulated model's"):
        CliRunner().invoke(app, [*words, "--tps", "5"], catch_exceptions=False)
