"""AsyncHow: questions, answers by the original's rules, asking and resuming, the original's own file."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentflow.errors import EndpointUnavailable, UserError
from agentflow.plan.methods import method_of
from agentflow.runtime import Runtime
from agentflow.testing import FakeEndpoint, LoopbackServer
from agentflow_bench.asynchow.answer import exact, overlaps, quoted, read_answer
from agentflow_bench.asynchow.command import asking_of
from agentflow_bench.asynchow.oracle import longest_words
from agentflow_bench.asynchow.original import COMMIT, digest_of, fetch, read_original
from agentflow_bench.asynchow.questions import SAMPLE, draw, question_of, read_questions
from agentflow_bench.asynchow.run import Asking, trials_of
from agentflow_bench.command import app
from agentflow_bench.trials import Row, try_all
from agentflow_bench.trials.asked import AskedModel
from agentflow_bench.trials.summary import Tally, tally
from agentflow_protocols.plan import total

ROOT = Path(__file__).parents[2]
MINUTE, DAY = 60.0, 86400.0


@pytest.mark.parametrize(
    ("text", "last", "seconds"),
    [
        ('It takes "40 minutes".', False, (2400, 2400)),
        ('First "10 minutes", then "40 minutes".', False, (600, 600)),
        ('First "10 minutes", then "40 minutes".', True, (2400, 2400)),
        ("The shortest possible time is 40 minutes.", False, (2400, 2400)),
        ("“40 min”", True, (2400, 2400)),
        ('"10 min + 30 min = 40 min"', True, (2400, 2400)),
        ('"30 minutes or 40 minutes"', True, (2400, 2400)),
        ('"40 minutes (step 1 and 3)"', True, (2400, 2400)),
        ('"2 months"', True, (56 * DAY, 62 * DAY)),
        ('"1 year and 2 days"', True, (367 * DAY, 368 * DAY)),
        ('"1,440 minutes"', True, (DAY, DAY)),
        ('"half an hour"', True, (1800, 1800)),
        ('"about 2 hours in all, 30 minutes"', True, (9000, 9000)),
        ('"1 to 2 days"', True, None),
        ("I can't tell.", True, None),
        ("", False, None),
    ],
)
def test_what_an_answer_says(text: str, last: bool, seconds) -> None:
    assert read_answer(text, last=last) == seconds


def test_right_and_exact() -> None:
    month = (28 * DAY, 31 * DAY)
    assert overlaps((30 * DAY, 30 * DAY), month)
    assert not overlaps((32 * DAY, 32 * DAY), month)
    assert not overlaps(None, month)
    assert exact(month, month)
    assert not exact((30 * DAY, 30 * DAY), month)
    assert quoted("no quotes here", last=True) == "no quotes here"


def test_the_sample_is_the_examples() -> None:
    assert SAMPLE.read_text() == (ROOT / "examples/kitchen/questions.jsonl").read_text()
    questions = read_questions()
    assert len(questions) == 24
    assert {question.kind for question in questions} == {"sequential", "parallel", "asynchronous"}
    records = {record["id"]: record for record in map(json.loads, SAMPLE.read_text().splitlines())}
    for question in questions:
        assert total(question.plan) == question.gold
        record = {**records[question.id], "complexity": None}
        assert question_of(record).complexity == question.complexity
        assert exact(read_answer(f'"{longest_words(question.plan)}"', last=False), question.gold)


def test_questions_are_drawn_by_their_number_of_steps_in_one_order() -> None:
    questions = read_questions()
    drawn = draw(questions)
    sizes = [len(question.plan.steps) for question in drawn]
    assert sizes == sorted(sizes)
    assert drawn == draw(questions)
    assert {question.id for question in drawn} == {question.id for question in questions}
    some = draw(questions, 12)
    assert len(some) == 12
    assert [question for question in drawn if question in some] == some
    assert len(draw(questions, 1000)) == 24


def test_files_that_hold_no_questions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no async\.jsonl"):
        read_questions(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        read_questions(tmp_path / "none.jsonl")
    good = json.loads(SAMPLE.read_text().splitlines()[1])
    file = tmp_path / "async.jsonl"
    file.write_text("\n{")
    with pytest.raises(UserError, match=r"async\.jsonl:2: no JSON"):
        read_questions(tmp_path)
    file.write_text(json.dumps({**good, "edges": [[1, 2], [2, 1]]}))
    with pytest.raises(UserError, match=r"async\.jsonl:1: no task: the order goes in a cycle"):
        read_questions(tmp_path)
    file.write_text("")
    with pytest.raises(UserError, match="no questions"):
        read_questions(tmp_path)


def test_words_that_say_more_than_is_counted_are_replaced() -> None:
    record = json.loads(SAMPLE.read_text().splitlines()[0])
    record["steps"][0] |= {"duration": "2 hours 30 minutes", "seconds": [7200, 7200]}
    assert question_of(record).plan.steps[0].duration == "2 hours"


def original() -> dict[str, list[object]]:
    """Return the lists of a file in the original's form, of two questions."""
    day = timedelta(days=1)
    steps = [["Boil  water", "Cook"], ["Rest"]]
    return {
        "titles": ["How to cook", "How to rest"],
        "steps": steps,
        "edge_list": [{("START", "1"), ("1", "2"), ("2", "END")}, {("START", "1"), ("1", "END")}],
        "time_dic": [{"1": "10 minutes", "2": "1 months"}, {"1": "2 days"}],
        "timedelta_dic": [
            {"1": [timedelta(minutes=10)] * 2, "2": [28 * day, 31 * day]},
            {"1": [2 * day, 2 * day]},
        ],
        "task_time": [[28 * day + timedelta(minutes=10), 31 * day + timedelta(minutes=10)], [2 * day] * 2],
        "ve_count": [7, 5],
    }


def test_the_originals_file(tmp_path: Path) -> None:
    file = tmp_path / "async_benchmark.pkl"
    file.write_bytes(pickle.dumps(original()))
    first, second = read_questions(tmp_path)
    assert (first.id, first.kind, first.task) == ("async-0000", "asynchronous", "cook")
    assert [(step.text, step.duration) for step in first.plan.steps] == [
        ("Boil water", "10 minutes"),
        ("Cook", "1 months"),
    ]
    assert first.plan.edges == (("1", "2"),)
    assert total(first.plan) == first.gold == (28 * DAY + 600, 31 * DAY + 600)
    assert (second.gold, second.complexity) == ((2 * DAY, 2 * DAY), 5)


class Evil:
    """Runs a program when it is unpickled."""

    def __reduce__(self):
        return os.system, ("false",)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "async_benchmark.pkl"
    file.write_bytes(pickle.dumps({**original(), "more": Evil()}))
    with pytest.raises(UserError, match=r"it wants posix.system, which is not read"):
        read_questions(file)
    file.write_bytes(b"no pickle")
    with pytest.raises(UserError, match="not one of AsyncHow's files"):
        read_original(file)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_the_original_is_fetched_once_and_checked(tmp_path: Path) -> None:
    served = tmp_path / "served" / COMMIT / "data"
    served.mkdir(parents=True)
    for name in ("async", "para", "seq"):
        (served / f"{name}_benchmark.pkl").write_bytes(pickle.dumps(original()))
    digest = digest_of(
        [r for n in ("async", "para", "seq") for r in read_original(served / f"{n}_benchmark.pkl")]
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(UserError, match="is not what it was"):
            fetch(address, tmp_path / "cache", "0" * 64)
        folder = fetch(address, tmp_path / "cache", digest)
        assert sorted(file.name for file in folder.iterdir()) == ["async.jsonl", "para.jsonl", "seq.jsonl"]
        assert [question.id for question in read_questions(folder)][::2] == [
            "async-0000",
            "para-0000",
            "seq-0000",
        ]
        assert [question.kind for question in read_questions(folder)][-1] == "sequential"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert fetch(address, tmp_path / "cache", digest) == folder
    with pytest.raises(EndpointUnavailable):
        fetch(address, tmp_path / "other", digest)


def ask(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["asynchow", *(str(argument) for argument in arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, on the sample."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENTFLOW_ASYNCHOW", raising=False)
    return tmp_path


@pytest.mark.parametrize("method", ["io", "plag_bag", "plag_checked", "plag_run"])
def test_the_oracle_is_always_right(here: Path, method: str) -> None:
    code, text = ask("--model", "oracle", "--method", method, "--json", "--out", here)
    result = json.loads(text)
    assert code == 0
    assert (result["n"], result["right"], result["exact"], result["failed"]) == (24, 24, 24, 0)
    parallel = result["by_kind"]["parallel"]
    assert (parallel["n"], parallel["right"], parallel["share"], parallel["exact"]) == (4, 4, 1.0, 4)
    assert list(result["by_complexity"])[:3] == ["5", "7", "8"]
    rows = [json.loads(line) for line in (here / f"{result['name']}.jsonl").read_text().splitlines()]
    assert len(rows) == 24
    assert {"prompt", "answer", "parsed", "gold", "right"} <= set(rows[0])
    page = (here / f"{result['name']}.md").read_text()
    assert f"| oracle, {method}, adjacency_list | 24 | 24 (100.0 %) | 86.2 to 100.0 % | 24 |" in page
    assert "<svg" in (here / f"{result['name']}.svg").read_text()


def test_several_methods_are_one_page_and_one_chart(here: Path) -> None:
    methods = ("--method", "io", "--method", "plag-bag", "--method", "plag_checked", "--method", "io")
    code, text = ask("--model", "builtin:planner", *methods, "--n", "12", "--json", "--out", here)
    results = json.loads(text)
    assert code == 0
    assert [(one["method"], one["n"]) for one in results] == [
        ("io", 12),
        ("plag_bag", 12),
        ("plag_checked", 12),
    ]
    name = "asynchow-builtin_planner-methods-adjacency_list"
    names = [name, *(one["name"] for one in results)]
    assert sorted(file.name for file in here.glob("*.svg")) == sorted(f"{name}.svg" for name in names)
    chart = (here / f"{name}.svg").read_text()
    assert chart.count("<polyline") == 3
    assert all(f">{one['method']}</text>" in chart for one in results)
    page = (here / f"{name}.md").read_text()
    assert f"({name}.svg)" in page
    asked = results[0]["by_kind"]["asynchronous"]["n"]
    kinds = list(results[0]["by_kind"])
    cells = " | ".join(
        f"{results[0]['by_kind'][kind]['n']} of {results[0]['by_kind'][kind]['n']}" for kind in kinds
    )
    assert f"| io | {cells} |" in page
    assert f"{asked} of {asked}" in cells
    assert "| *GPT-4, plag_bag* | 77.7 % |" in page.replace("| - ", "")
    # The same again asks nothing: what was answered is known.
    again = json.loads(ask("--model", "builtin:planner", *methods, "--n", "12", "--json", "--out", here)[1])
    assert [one["tokens"] for one in again] == [one["tokens"] for one in results]


def test_the_papers_figures_stand_beside(here: Path) -> None:
    code, text = ask("--model", "oracle", "--method", "plag_bag", "--out", here)
    assert code == 0
    assert (
        "published (Lin et al., ICML 2024, arXiv 2402.02805, Table 2): GPT-4, plag_bag: asynchronous 77.7 %;"
        in text
    )
    page = (here / "asynchow-oracle-plag_bag-adjacency_list.md").read_text()
    assert "*GPT-4, plag_bag*" in page
    assert "| 77.7 % | 35.5 % |" in page
    assert "arXiv 2402.02805, Table 2" in page
    # What it has not measured has no figure.
    assert "published" not in ask("--model", "oracle", "--method", "plag_checked", "--out", here)[1]


def test_a_template_words_the_questions(here: Path) -> None:
    file = here / "short.j2"
    file.write_text(
        "{{ task }}\n{% for s in steps %}{{ s.name }}. {{ s.text }} ({{ s.duration }})\n{% endfor %}"
        "{% for a, b in edges %}Step {{ a }} must precede step {{ b }}.\n{% endfor %}How long?"
    )
    code, text = ask(
        "--model", "builtin:planner", "--method", "io", "--wording", file, "--n", "6", "--out", here
    )
    assert code == 0
    assert "6 of 6 right" in text
    row = json.loads(
        (here / "asynchow-builtin_planner-io-adjacency_list-short.jsonl").read_text().splitlines()[0]
    )
    assert row["prompt"][0]["content"].endswith("How long?")
    file.write_text("{{ tusk }}")
    with pytest.raises(UserError, match="tusk"):
        ask("--model", "oracle", "--wording", file)
    file.write_text("{% for %}")
    with pytest.raises(UserError, match=r"short\.j2:1"):
        ask("--model", "oracle", "--wording", file)


def test_other_questions_of_the_same_name_are_asked_anew(here: Path) -> None:
    file = here / "own.jsonl"
    records = [json.loads(line) for line in SAMPLE.read_text().splitlines()]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert "24 of 24 right" in ask("--model", "builtin:planner", "--data", file, "--out", here)[1]
    records[0]["steps"][0] |= {"duration": "9 minutes", "seconds": [540, 540]}
    records[0]["optimal_seconds"] = [540, 540]
    records[1]["optimal_seconds"] = [1, 1]  # the same question, with another known answer
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert "23 of 24 right" in ask("--model", "builtin:planner", "--data", file, "--out", here)[1]


def test_wrong_options(here: Path) -> None:
    oracle = AskedModel("oracle")
    with pytest.raises(UserError, match="did you mean `plag_bag`"):
        asking_of(oracle, "plag_bog", "csr", 1)
    with pytest.raises(UserError, match="--form matrix"):
        asking_of(oracle, "io", "matrix", 1)
    with pytest.raises(UserError, match="--n must be 1 or more"):
        ask("--model", "oracle", "--n", "0")
    with pytest.raises(UserError, match="--concurrency"):
        asking_of(oracle, "io", "csr", 0)
    with pytest.raises(UserError, match="--max-tokens"):
        ask("--model", "oracle", "--max-tokens", "0")
    with pytest.raises(UserError, match="--temperature warm"):
        ask("--model", "oracle", "--temperature", "warm")
    assert AskedModel.of("m", None, None, "none", None).temperature is None


async def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    questions = read_questions()
    answers = {question.task: f'"{longest_words(question.plan)}"' for question in questions}
    broken = {questions[3].task}

    def answer(request):
        task = request.messages[-1].text.splitlines()[0].removeprefix("Task: ").removesuffix(".")
        return EndpointUnavailable("no connection") if task in broken else answers[task]

    model = FakeEndpoint(answer, retry=1)
    asking = Asking(AskedModel("fake"), method_of("io"), "adjacency_list", concurrency=1)
    trials = trials_of(asking, questions, model)

    async def sitting(most: int) -> Tally:
        seen: list[Row] = []

        def told(row: Row) -> None:
            seen.append(row)
            if len(seen) == most:
                raise KeyboardInterrupt

        async with Runtime(journal=tmp_path / "how.db") as runtime:
            try:
                await try_all(trials, runtime, told=told)
            except KeyboardInterrupt:
                pass
        return tally(seen)

    first = await sitting(7)
    assert first.failed == 1
    broken.clear()
    asked = len(model.requests)
    second = await sitting(100)
    assert (second.n, second.right, second.failed) == (24, 24, 0)
    texts = [request.messages[-1].text for request in model.requests]
    again = [text for text in texts[asked:] if text in texts[:asked]]
    assert len(again) <= 2  # the one that failed, and one that was under way when the sitting ended
    third = await sitting(100)
    assert third.right == 24
    assert third.tokens == second.tokens
    assert len(model.requests) == len(texts)


def test_a_killed_run_goes_on_where_it_was(here: Path) -> None:
    """Kill -9 in the middle: only what was under way is asked again."""
    answers = {question.task: f'"{longest_words(question.plan)}"' for question in read_questions()}

    def reply(body) -> str:
        return answers[task_of(body["messages"][-1]["content"])]

    with LoopbackServer(reply, first_token_s=0.05) as server:
        command = ["asynchow", "--model", "m", "--base-url", server.url, "--method", "io", "--out", str(here)]
        code = "import sys; from agentflow_bench.command import app; app(sys.argv[1:])"
        path = os.pathsep.join(sys.path)
        process = subprocess.Popen(
            [sys.executable, "-c", code, *command, "--concurrency", "2"],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        server.wait_for(lambda: len(server.requests) >= 9, timeout=20)
        process.kill()
        process.wait()
        before = len(server.requests)
        result = CliRunner().invoke(app, [*command, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["right"] == 24
        asked = [task_of(str(request.body["messages"][-1]["content"])) for request in server.requests]
    assert 9 <= before < 24
    assert len(set(asked)) == 24
    # Two were under way, and two more may have been answered in the moment before they were recorded.
    assert len(asked) - 24 <= 4


def task_of(text: str) -> str:
    """Return the task of a question's first line."""
    return text.splitlines()[0].removeprefix("Task: ").removesuffix(".")


def test_what_is_proved_without_a_model(here: Path) -> None:
    result = CliRunner().invoke(
        app, ["asynchow", "--quick", "--json", "--only", "oracle", "--only", "planner"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ok"]
