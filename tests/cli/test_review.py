"""Reviews on the command line: bars in a terminal, a line now and then in a pipe, paused and gone on with."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import in_terminal
from typer.testing import CliRunner

from agentflow._cli.app import make_app
from agentflow._cli.review import ReviewBoard
from agentflow._cli.view import Board, drawn
from agentflow_protocols.trace import Custom, RunFinished, RunStarted

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = [sys.executable, "-c", "import sys; from agentflow._cli import main; main()"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a copy of the example, into which it writes its table."""
    shutil.copytree(EXAMPLES / "review", tmp_path / "review")
    shutil.copy(EXAMPLES / "review.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_reviews_forty_records(here: Path) -> None:
    result = CliRunner().invoke(
        make_app(), ["run", "review.yaml", "--virtual-time", "--no-journal", "--json"]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["output"] == {
        "records": 40,
        "disputed": 9,
        "included": 16,
        "looks": 105,
        "faults": 0,
        "table": "review/reviewed.csv",
        "cost": 0.0,
    }
    assert told["usage"]["requests"] == 105
    with open(here / "review" / "reviewed.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    included = [row for row in rows if row["facts_dot_minutes"] or row["facts_dot_pot"]]
    assert len(included) == 16
    assert {row["facts_dot_pot"] for row in included} == {"copper", "iron", "clay", ""}
    assert all("leek" in f"{row['title']} {row['abstract']}".lower() for row in included)


def test_check_tells_how_much_there_is_to_do(here: Path) -> None:
    plain = CliRunner().invoke(make_app(), ["check", "review.yaml"])
    assert plain.stdout == "review.yaml: ok; 40 records, 80 to 160 looks\n"
    told = json.loads(CliRunner().invoke(make_app(), ["check", "review.yaml", "--json"]).stdout)
    assert told["files"][0]["review"] == {"records": 40, "looks": [80, 160]}
    text = (here / "review.yaml").read_text().replace("review/library.ris", "'{{ inputs.topic }}.ris'")
    (here / "review.yaml").write_text(text)
    later = CliRunner().invoke(make_app(), ["check", "review.yaml"])
    assert later.stdout == "review.yaml: ok; a review with 2 to 4 looks for each record\n"


def test_rounds_are_bars_in_a_terminal(here: Path) -> None:
    text, _ = in_terminal([*COMMAND, "run", "review.yaml", "--no-journal", "--speed", "4"], here)
    assert "entered 40  done 40  disputed 9" in text
    assert "40 of 40 rows done" in text
    assert "16 looks" in text


def test_a_pipe_is_told_a_line_now_and_then(here: Path) -> None:
    plain = subprocess.run(
        [*COMMAND, "run", "review.yaml", "--no-journal", "--virtual-time"], capture_output=True, text=True
    )
    assert plain.returncode == 0
    assert "40 records, rounds: screening, senior, facts" in plain.stderr
    assert "39 of 40 rows done, screening 40 (9 disputed)" in plain.stderr
    assert plain.stderr.count("\n") < 30
    assert "ann asks" not in plain.stderr


def test_ctrl_c_pauses_and_resume_asks_only_what_is_missing(here: Path) -> None:
    command = [*COMMAND, "run", "review.yaml", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        line = ""
        while " 9 of 40 rows done" not in line:
            line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told = json.loads(process.stdout.read())
        said = process.stderr.read()
    assert process.returncode == 130
    assert told["status"] == "paused"
    assert f"--resume {told['run_id']}" in said
    assert not (here / "review" / "reviewed.csv").exists()
    trace = ["--resume", told["run_id"], "--virtual-time", "--trace", "trace.jsonl"]
    again = CliRunner().invoke(make_app(), ["run", "review.yaml", "--json", *trace])
    assert again.exit_code == 0, again.output
    whole = json.loads(again.stdout)
    assert (whole["output"]["looks"], whole["usage"]["requests"]) == (105, 105)
    asked = sum("ModelCalled" in line for line in (here / "trace.jsonl").read_text().splitlines())
    assert 0 < asked <= 105 - told["usage"]["requests"]
    assert (here / "review" / "reviewed.csv").is_file()


def test_a_board_takes_what_is_no_review_as_nothing() -> None:
    board = ReviewBoard()
    for name in ("review", "entered", "look", "voted", "row"):
        for data in (None, 3, {}, {"rounds": 3}, {"round": "a"}):
            board.take(Custom(name, data))  # type: ignore[arg-type]
            assert board.line(Custom(name, data)) is None  # type: ignore[arg-type]
    assert not board


def test_a_board_draws_rounds_and_faults_in_what_room_there_is() -> None:
    board = Board()
    rounds = [{"name": "first", "reviewers": ["ann", "ben"]}, {"name": "last", "reviewers": ["cid"]}]
    board.take(RunStarted("workflow", "w", None))
    board.take(Custom("review", {"records": 4, "rounds": rounds}))  # type: ignore[dict-item]
    for n in range(3):
        row = {"id": f"r{n}", "round": "first"}
        board.take(Custom("entered", row))  # type: ignore[arg-type]
        look = {"reviewer": "ann", "tokens": 1000, "cost": 0.5, "failed": n == 2}
        board.take(Custom("look", {**row, **look}))  # type: ignore[dict-item]
    board.take(Custom("voted", {"id": "r0", "round": "first", "disputed": True}))
    board.take(Custom("row", {"id": "r2\x1b[2J", "rounds": ["first"], "fault": "first/ann: E: bad"}))
    lines = ["".join(text for text, _ in line) for line in board.review.lines(100, 20)]
    assert lines[0] == "1 of 4 rows done, 1 failed"
    assert lines[1].endswith("entered 3  done 1  disputed 1")
    assert lines[1].count("━") == 22
    assert lines[2].split() == ["ann", "3", "looks", "3,000", "tokens", "$1.5000", "1", "failed"]
    assert lines[-1] == "  last fault: r2?[2J, first/ann: E: bad"
    assert len(board.review.lines(100, 4)) == 4  # the reviewers give way
    assert all(sum(len(text) for text, _ in line) <= 30 for line in drawn(board, 30, 12))
    assert board.review.hides(RunFinished("succeeded", run="a/b"))
    assert not board.review.hides(RunFinished("succeeded", run="a"))


def test_a_review_that_failed_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "records.csv").write_text("id,title\na,Soup\nb,Bread\n")
    (tmp_path / "looks.py").write_text(
        "from pathlib import Path\n\nasync def look(context, record, votes):\n"
        "    if record.id == 'b' and not Path('mended').exists():\n        raise OSError('no oven')\n"
        "    with open('asked', 'a') as file:\n        file.write(record.id)\n    return 3\n"
    )
    (tmp_path / "review.yaml").write_text(
        "agentflow: 1\nreview:\n  records: records.csv\n  output: out.csv\n"
        "  reviewers: {ann: {function: 'looks:look'}}\n  rounds: [{name: first, reviewers: ann}]\n"
    )
    failed = subprocess.run([*COMMAND, "run", "review.yaml"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "failed: b, first/ann: OSError: no oven" in failed.stderr
    assert "1 of 2 rows lack a vote, first b" in failed.stderr
    assert (tmp_path / "out.csv").read_text() == (
        "id,title,first_ann,faults\na,Soup,3,\nb,Bread,,first/ann: OSError: no oven\n"
    )
    again = failed.stderr.rpartition("go on with: agentflow ")[2].split()
    (tmp_path / "mended").touch()
    done = subprocess.run([*COMMAND, *again], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faults"] == {}
    assert (tmp_path / "asked").read_text() == "ab"
    assert (tmp_path / "out.csv").read_text() == "id,title,first_ann\na,Soup,3\nb,Bread,3\n"
