"""The HTML page of a research report: its texts, and the pictures of ranking and course."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentflow.tournament.scientist.research import ResearchReport

__all__ = ["page"]


def page(report: ResearchReport) -> str:
    """Return the page; whatever models wrote is text in it, never markup."""
    from importlib.resources import files

    import jinja2
    import markupsafe

    from agentflow.tournament.picture import history_picture, rating_picture
    from agentflow.tournament.scientist.research import shown

    told = report.tournament
    titles = {each.id: each.item.title for each in told.ranking}
    standings = [*told.ranking, *told.withdrawn]
    ranking = rating_picture(standings, k=report.k) if standings else ""
    course = history_picture(told.history) if len(told.history) > 1 else ""
    source = files(__package__).joinpath("page.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(source).render(
        report=report,
        told=told,
        shown=shown,
        alike=[[titles[name] for name in group] for group in report.groups if len(group) > 1],
        ranking=markupsafe.Markup(ranking),
        course=markupsafe.Markup(course),
    )
