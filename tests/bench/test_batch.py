"""The measures of the batch: their server, their meter, what they count."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest

from agentflow_bench import Figure, Setting, Skipped
from agentflow_bench.batch import suite
from agentflow_bench.batch.beside import beside
from agentflow_bench.batch.compat import COMPAT
from agentflow_bench.batch.dialects import answer_of, prompt_of
from agentflow_bench.batch.experiment import experiment
from agentflow_bench.batch.rules import FAULTS, Bucket, Rules, Trouble
from agentflow_bench.batch.served import Record, Seen, Served
from agentflow_bench.peers import PEERS, Absent, metered, plain_environment, python_of


def ask(url: str, prompt: str, path: str = "/chat/completions") -> tuple[int, bytes]:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]},
        {"contents": [{"role": "user", "parts": [{"text": "q"}]}]},
        {"prompt": "q"},
        {"input": "q"},
    ],
)
def test_the_prompt_is_found_in_each_form(body) -> None:
    assert prompt_of(body) == "q"


def test_a_bucket_fills_at_its_limit() -> None:
    bucket = Bucket(600, 1.0)
    taken = [bucket.take(100.0)[0] for _ in range(12)]
    assert taken == [True] * 10 + [False] * 2
    assert bucket.take(100.1)[0]
    good, left, reset = bucket.take(100.1)
    assert (good, round(left)) == (False, 0)
    assert reset == pytest.approx(0.1)


def test_the_same_prompts_have_the_same_troubles_and_no_more_than_allowed() -> None:
    rules = Rules(fault="500", faulty=0.9, most=3, seconds=1.0, stragglers=0.1)
    first, second = Trouble(rules), Trouble(rules)
    mine = [first.next(f"p{n % 5}") for n in range(50)]
    assert mine == [second.next(f"p{n % 5}") for n in range(50)]
    assert sum(fault == "500" for fault, _ in mine) == 15
    assert {seconds for _, seconds in mine} <= {1.0, 30.0}


def test_the_server_answers_counts_and_tells() -> None:
    with Served(Rules(tell_at=2)) as server:
        assert answer_of("q") in ask(server.url, "q")[1].decode()
        assert ask(server.url, "r", "/nothing")[0] == 404
        assert ask(server.url, "q", "/messages")[0] == 200
        server.reached()
        record = server.record()
    assert (record.come, record.sent, record.open) == (3, 2, 0)
    assert record.times()["q"] == 2
    assert record.answered()["r"] == 0


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "hang"])
def test_each_fault_is_one_once_and_then_none(kind) -> None:
    with Served(Rules(fault=kind, faulty=1.0, most=1)) as server:
        try:
            status, body = ask(server.url, "q")
        except (OSError, HTTPException):
            assert kind in ("reset", "truncated")
        else:
            if status == 200:
                with pytest.raises(ValueError):
                    json.loads(body)
            else:
                assert status == int(kind)
        assert ask(server.url, "q")[0] == 200


def test_a_limit_is_told_and_kept() -> None:
    with Served(Rules(limit=60, window=2.0, tells=True)) as server:
        assert [ask(server.url, "q")[0] for _ in range(4)] == [200, 200, 429, 429]
        assert server.record().refused == 2


def test_the_rate_is_by_the_span_of_what_was_taken() -> None:
    seen = [Seen(0.0, "a", 200, 0.1), Seen(0.5, "b", 429, 0.5), Seen(1.0, "c", 200, 1.1)]
    assert Record(3, 2, 1, 0, 1, seen).rate() == 60.0


def test_the_command_over_an_experiment() -> None:
    with Served(Rules()) as server, experiment(server.url, 20) as made:
        ran = made.run("--concurrency", 4)
        assert made.right() == 20
        assert server.record().come == 20
    assert ran.number("answered") == 20
    assert ran.took.cpu_s > ran.took.import_s > 0
    assert ran.took.peak_mb > 10


def test_a_command_that_breaks_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"):
        metered("no_such_module:main", [], plain_environment("http://127.0.0.1:9"), cwd=tmp_path)


def test_children_ask_no_other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    variables = plain_environment("http://127.0.0.1:1/v1")
    assert "ANTHROPIC_API_KEY" not in variables
    assert "https_proxy" not in variables
    assert variables["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert variables["OPENAI_BASE_URL"] == "http://127.0.0.1:1/v1"


def test_a_peer_that_does_not_install_is_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = tmp_path / "agentflow" / "peers" / "prompto"
    home.mkdir(parents=True)
    (home / ".why").write_text("does not install here: no room")
    with pytest.raises(Absent, match="no room"):
        python_of("prompto")

    def rows() -> list[Figure]:
        return [Figure("x", float(bool(python_of("prompto"))))]

    (row,) = beside(Setting(), "prompto", rows)
    assert row.note == "no figure: does not install here: no room"
    assert beside(Setting(quick=True), "prompto", rows) == []
    assert set(PEERS) >= {"curator", "httpx", "litellm", "prompto"}


def test_without_prompto_s_files_its_measure_is_skipped() -> None:
    with pytest.raises(Skipped, match="AGENTFLOW_PROMPTO"):
        COMPAT.run(Setting())


def test_every_measure_says_what_it_is() -> None:
    assert all(measure.what.endswith(".") for measure in suite().measures)
