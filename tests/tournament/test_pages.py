"""Reports as pages: what models wrote is text in them, and they can be printed of anything."""

from __future__ import annotations

import pytest

from agentflow.tournament import Note, Standing, TournamentReport
from agentflow.tournament.scientist import Hypothesis, Overview, ResearchReport
from agentflow.tournament.scientist.hypothesis import Contact, Direction

BAD = "a | b\n## Ranking\n<script>alert(1)</script> p < 0.05\n```"
ITEM = Hypothesis(title=BAD, statement=BAD, mechanism=BAD, test=BAD, sources=(BAD,), method="x|y\nz")
PLAYS = Standing("1", ITEM, 0.0, -1.0, 1.0, 3, rank=1, notes=(Note("full", BAD), Note("expert", BAD)))
GONE = Standing("2", ITEM, 0.0, -1.0, 1.0, 3, withdrawn=BAD)


def reports(
    ranking: list[Standing[Hypothesis]], withdrawn: list[Standing[Hypothesis]]
) -> tuple[TournamentReport[Hypothesis], ResearchReport]:
    direction = Direction(title=BAD, why=BAD, experiments=[BAD], hypotheses=["[1]", "none"])
    overview = Overview(summary=BAD, directions=[direction], contacts=[Contact(expertise=BAD, why=BAD)])
    told = TournamentReport(BAD, ranking, "no pairs", 1.0, (0.0, 1.0), {}, withdrawn=withdrawn, halted=BAD)
    return told, ResearchReport(
        BAD, None, overview, told, [["1"]], withheld=BAD, formats={BAD: "# Aims\n<b>"}
    )


@pytest.mark.parametrize("ranking", [[], [PLAYS]])
@pytest.mark.parametrize("withdrawn", [[], [GONE]])
def test_nothing_that_was_written_is_markup_or_a_part_of_the_page(
    ranking: list[Standing[Hypothesis]], withdrawn: list[Standing[Hypothesis]]
) -> None:
    for report in reports(ranking, withdrawn):
        page, text = report.as_html(), report.as_markdown()
        assert "<script" not in page
        assert "<b>" not in page or "<b>Mechanism" in page
        lines = text.splitlines()
        assert lines.count("## Ranking") == isinstance(report, ResearchReport)
        assert "```" not in lines
        assert "\\<script>" in text
        assert text.count("<script>") == text.count("\\<script>")
        assert "p < 0.05" in text
        rows = [line.replace("\\|", "") for line in lines if line.startswith("| ")]
        assert {row.count("|") for row in rows} <= {7} | (
            {6} if isinstance(report, ResearchReport) else set()
        )


def test_a_direction_names_its_hypotheses_and_one_item_says_nothing_of_how_sure_that_is() -> None:
    told, report = reports([PLAYS], [])
    assert "Hypotheses: a | b ## Ranking" in report.as_markdown()
    assert "Hypotheses: a | b" in report.as_html()
    assert "# Aims\n\\<b>" in report.as_markdown()
    for each in (told, report):
        assert "expected to be" not in each.as_markdown() + each.as_html()
