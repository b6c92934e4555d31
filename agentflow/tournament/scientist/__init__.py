"""The co-scientist: hypotheses for a research goal, found, reviewed, compared and improved."""

from __future__ import annotations

from agentflow.tournament.scientist.hypothesis import Hypothesis, Overview, ResearchPlan
from agentflow.tournament.scientist.research import ResearchReport
from agentflow.tournament.scientist.scientist import CoScientist

__all__ = ["CoScientist", "Hypothesis", "Overview", "ResearchPlan", "ResearchReport"]
