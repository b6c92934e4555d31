"""The co-scientist: from a goal in plain words to a report, with an expert in it and a kill anywhere."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_lab import ScriptedLab
from virtual import virtual

from agentflow import Context, Limits, Runtime
from agentflow.errors import UserError
from agentflow.testing import FakeEndpoint
from agentflow.tournament import Board, LiveTournament, Make
from agentflow.tournament.scientist import CoScientist, Hypothesis, ResearchPlan, ResearchReport, hypothesis
from agentflow_protocols.chat import ChatRequest
from agentflow_protocols.chat.openai import is_strict
from agentflow_protocols.trace import Custom


async def researched(scientist: CoScientist, limits: Limits | None = None) -> ResearchReport:
    async with Runtime() as runtime:
        return (await runtime.run(scientist, limits=limits)).output


@virtual
async def test_a_goal_in_plain_words_becomes_a_report() -> None:
    lab = ScriptedLab()
    scientist = CoScientist(
        "Find the best leek.", model=lab.model, k=3, most_hypotheses=30, formats=["a grant's aims"]
    )
    report = await researched(scientist)
    told = report.tournament
    assert report.plan is not None
    assert report.plan.criteria == ["it is a greater number"]
    assert [each.rank for each in report.best] == [1, 2, 3]
    strengths = [int(each.item.title.split()[1]) for each in told.ranking]
    assert max(strengths[:3]) == max(strengths)
    assert {each.item.method for each in told.ranking} & {"combine", "simplify", "inspire", "outside"}
    assert {len(each.item.parents) for each in told.ranking} >= {0, 1}
    assert set(lab.asked) == set(ScriptedLab().told)
    for agent in (
        "literature",
        "debate",
        "assumptions",
        "full",
        "deep",
        "observation",
        "simulation",
        "recurrent",
    ):
        assert told.work[agent].calls, agent
    best = report.best[0]
    assert best.note("full") is not None
    assert "Mind the greenness" in told.advice["critique"]
    assert any("Mind the greenness" in prompt for prompt in lab.told["ranking"])
    assert (
        0 < sum("Mind the greenness" in text for text in lab.told["generation"]) < len(lab.told["generation"])
    )
    assert all("Review: a sound leek" not in prompt.split("First:")[0] for prompt in lab.told["ranking"])
    assert report.formats == {"a grant's aims": "Aim 1: leeks."}
    assert report.overview is not None
    assert report.overview.directions[0].title == "Soup"
    assert sum(len(group) for group in report.groups) == len(told.ranking)


@virtual
async def test_the_report_is_a_page_with_pictures_in_which_nothing_that_a_model_wrote_is_markup() -> None:
    report = await researched(
        CoScientist("Find <i>leeks</i>.", model=ScriptedLab().model, most_hypotheses=10)
    )
    page = report.as_html()
    assert "<svg" in page
    assert "Leeks are &lt;b&gt;good&lt;/b&gt;." in page
    assert "<i>leeks" not in page
    text = report.as_markdown()
    assert text.startswith("# Find \\<i>leeks\\</i>.\n")
    for part in ("## Overview", "## The best hypotheses", "## Ranking", "## How it went", "80% between"):
        assert part in text
    best = report.best[0]
    assert f"`{best.id}`" in text


@virtual
async def test_an_unsafe_goal_is_not_researched_and_unsafe_hypotheses_do_not_play() -> None:
    lab = ScriptedLab()
    report = await researched(CoScientist("Something forbidden.", model=lab.model))
    assert (report.tournament.stop_reason, report.tournament.halted) == ("unsafe", "it says forbidden")
    assert report.tournament.ranking == []
    assert lab.asked == Counter(safety=1)
    assert "halted as unsafe" in report.as_markdown()
    assert "halted as unsafe" in report.as_html()

    own = [
        Hypothesis(title="Leek 99", statement="a forbidden one"),
        Hypothesis(title="Leek 98", statement="fine"),
    ]
    report = await researched(
        CoScientist("Find leeks.", model=ScriptedLab().model, hypotheses=own, most_hypotheses=8)
    )
    assert "Leek 99" in [each.item.title for each in report.tournament.withdrawn if each.matches == 0]
    assert report.best[0].item.title == "Leek 98"


@virtual
async def test_what_turns_out_unsafe_after_it_has_won_is_taken_out() -> None:
    lab = ScriptedLab()
    seen: Counter[str] = Counter()

    def safety(request: ChatRequest) -> str:
        text = request.messages[-1].text
        seen[text] += "Leek 99" in text and "A hypothesis:" in text
        return json.dumps({"safe": seen[text] < 2, "why": "on second thoughts"})

    scientist = CoScientist(
        "Find leeks.",
        model=lab.model,
        models={"safety": FakeEndpoint(safety)},
        hypotheses=[Hypothesis(title="Leek 99", statement="seems fine")],
        most_hypotheses=12,
    )
    report = await researched(scientist)
    assert report.tournament.stop_reason == "settled"
    gone = next(each for each in report.tournament.withdrawn if each.item.title == "Leek 99")
    assert gone.withdrawn == "unsafe: on second thoughts"
    assert gone.matches >= 4
    assert report.best[0].item.title != "Leek 99"
    assert report.overview is not None


@virtual
async def test_an_expert_edits_the_goal_adds_reviews_and_restricts_sources_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Leeks are old.\n\nThey are green.")
    (tmp_path / "b.txt").write_text("Leeks are long.")
    lab = ScriptedLab()
    scientist = CoScientist(
        "Find leeks.",
        model=lab.model,
        documents=[tmp_path / "a.txt", tmp_path / "b.txt"],
        most_hypotheses=20,
        max_matches=120,
        stop_overlap=None,
    )
    matches = 0
    async with Runtime() as runtime, runtime.start(scientist) as run:
        async for event in run:
            matches += isinstance(event, Custom) and event.name == "match"
            if matches == 10:
                matches += 1
                live: LiveTournament[Hypothesis] = LiveTournament.of(run)
                live.restrict(["b.txt"])
                live.advise("Think of winter.")
                own = live.add(Hypothesis(title="Leek 70", statement="my own"))
                live.review(own, "I like it.")
                live.set_goal("Find the longest leek.")
        report = (await run.result()).output
    assert report.goal == "Find the longest leek."
    assert lab.asked["planning"] == 2
    assert report.best[0].item.statement == "my own"
    late = lab.told["reflection"][-1]
    assert "Goal: Find the longest leek." in late
    assert "A researcher asks you to mind: Think of winter." in late
    assert "Rest on these sources only: b.txt" in late
    assert any("Review: I like it." in prompt for prompt in lab.told["ranking"])


@virtual
async def test_documents_are_searched_and_only_those_that_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Leeks are old.")
    (tmp_path / "b.txt").write_text("Leeks are long.")
    found: list[str] = []
    lab = ScriptedLab()
    inner = lab.model

    def answer(request):  # type: ignore[no-untyped-def]
        last = request.messages[-1]
        if last.role == "tool":
            found.append(last.text)
            return {"text": lab._answer(replace(request, messages=request.messages[:2]))}
        if (
            request.tools
            and "search_documents" in [tool.name for tool in request.tools]
            and len(request.messages) == 2
        ):
            return {"calls": [{"name": "search_documents", "arguments": {"query": "old leeks"}}]}
        return lab._answer(request)

    assert inner is not None
    scientist = CoScientist(
        "Find leeks.",
        model=FakeEndpoint(answer),
        documents=[tmp_path / "a.txt", tmp_path / "b.txt"],
        most_hypotheses=4,
        max_matches=5,
    )
    async with Runtime() as runtime, runtime.start(scientist) as run:
        LiveTournament.of(run).restrict(["a.txt"])
        await run.result()
    assert found
    assert all("Leeks are old." in text and "long" not in text for text in found)


@virtual
async def test_a_budget_ends_it_with_what_there_is_and_nothing_is_asked_for_nothing() -> None:
    lab = ScriptedLab()
    report = await researched(CoScientist("Find leeks.", model=lab.model), Limits(turns=150))
    assert report.tournament.stop_reason == "budget"
    assert report.best
    assert sum(lab.asked.values()) <= 170
    nothing = await researched(CoScientist("Find leeks.", model=lab.model), Limits(turns=0))
    assert (nothing.tournament.stop_reason, nothing.best) == ("budget", [])
    assert "There are none: a limit of the run was reached." in nothing.as_markdown()


@virtual
async def test_agents_are_added_replaced_and_left_out_and_a_plan_is_given() -> None:
    async def mine(context: Context[object], board: Board[Hypothesis]) -> list[Hypothesis]:
        return [
            Hypothesis(title=f"Leek {40 + board.judged}", statement=f"mine {board.judged}", method="mine")
        ]

    lab = ScriptedLab()
    report = await researched(
        CoScientist(
            "Find leeks.",
            model=lab.model,
            models={"meta": FakeEndpoint(lab._answer)},
            plan=ResearchPlan(objective="leeks"),
            agents={"mine": Make(mine, needs=2), "debate": None, "simulation": None},
            most_hypotheses=20,
        )
    )
    assert lab.asked["planning"] == 0
    assert report.tournament.work["mine"].made
    assert "debate" not in report.tournament.work
    assert not any("Step through" in text for text in lab.told["reflection"])


@virtual
async def test_what_says_the_same_is_one_by_words_and_by_embeddings() -> None:
    twins = [
        Hypothesis(title="Leek 5", statement="Leeks in winter are sweeter than leeks in summer."),
        Hypothesis(title="Leek 5.", statement="Leeks in winter are sweeter than leeks in summer!"),
        Hypothesis(title="Leek 6", statement="Nobody knows who planted onions on that far island."),
    ]
    for embed in (None, FakeEndpoint([])):
        report = await researched(
            CoScientist(
                "Find leeks.",
                model=ScriptedLab().model,
                hypotheses=twins,
                embed=embed,
                same=0.9,
                most_hypotheses=3,
                max_matches=4,
            )
        )
        assert {each.item.title for each in report.tournament.ranking} == {"Leek 5", "Leek 6"}
        assert report.tournament.withdrawn[0].withdrawn == f"it says the same as {twins[0].id}"


def test_what_is_no_scientist_is_told(tmp_path: Path) -> None:
    model = ScriptedLab().model
    (tmp_path / "x.pdf").write_bytes(b"\xff\xfe\x00")
    for options, told in (
        ({"goal": " "}, "the goal is empty"),
        ({"turns": 0}, "turns must be 1 or more"),
        ({"models": {"judge": model}}, "no role is called 'judge'"),
        ({"agents": {"debat": None}}, "no agent is called 'debat'"),
        ({"same": 2.0}, "same lies"),
        ({"k": 0}, "k must be 1 or more"),
        ({"documents": [tmp_path / "none.txt"]}, "No such file"),
        ({"documents": [tmp_path / "x.pdf"]}, "it is not UTF-8"),
    ):
        with pytest.raises(UserError, match=told):
            CoScientist(**{"goal": "Find leeks.", "model": model, **options})  # type: ignore[arg-type]


@virtual
async def test_what_was_researched_is_read_back_from_the_journal_and_goes_on_after_a_stop(
    tmp_path: Path,
) -> None:
    lab = ScriptedLab()
    scientist = CoScientist(
        "Find leeks.", model=lab.model, most_hypotheses=12, max_matches=60, stop_overlap=None
    )
    async with Runtime(tmp_path / "runs.db") as runtime:
        async with runtime.start(scientist, key="leeks") as run:
            seen = 0
            async for event in run:
                seen += isinstance(event, Custom) and event.name == "match"
                if seen == 20:
                    break  # and leaving the block ends it
    before = Counter(lab.asked)
    async with Runtime(tmp_path / "runs.db") as runtime:
        report = (await runtime.run(scientist, key="leeks")).output
    after = Counter(lab.asked)
    assert before["planning"] == after["planning"] == 1
    assert report.tournament.judged == 60
    total = sum(after.values())
    async with Runtime(tmp_path / "runs.db") as runtime:
        again = (await runtime.run(scientist, key="leeks")).output
    assert sum(lab.asked.values()) == total
    assert again.as_markdown() == report.as_markdown()
    assert again.as_html() == report.as_html()


def test_apis_can_hold_models_to_all_forms_of_answers() -> None:
    forms = [getattr(hypothesis, name) for name in hypothesis.__all__ if name != "Hypothesis"]
    assert len(forms) > 10
    for form in forms:
        assert is_strict(form.model_json_schema()), form
    assert hypothesis.Overview.model_validate({"summary": "s", "directions": [], "beside": 1}).contacts == []
