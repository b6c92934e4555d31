"""Tournaments: who is best, by matches, and how sure that is."""

from __future__ import annotations

from agentflow.tournament.agents import Agents, Board, Halt, Look, Make, Maker, Reject, Review, Study
from agentflow.tournament.judging import Judge, Match, Mode, Verdict, verdict_of
from agentflow.tournament.live import LiveTournament
from agentflow.tournament.pairing import Objective, Pairs, ladder, swiss
from agentflow.tournament.picture import history_picture, rating_picture
from agentflow.tournament.population import Copy, Member, Population, PopulationReport, Scored
from agentflow.tournament.posterior import Posterior, Quality, Sharpness
from agentflow.tournament.report import (
    Note,
    Outcome,
    Played,
    Progress,
    Standing,
    StopReason,
    TournamentReport,
)
from agentflow.tournament.supervisor import FixedWeights, Statistics, Supervisor, ThompsonWeights, Work
from agentflow.tournament.tournament import Tournament

__all__ = [
    "Agents",
    "Board",
    "Copy",
    "FixedWeights",
    "Halt",
    "Judge",
    "LiveTournament",
    "Look",
    "Make",
    "Maker",
    "Match",
    "Member",
    "Mode",
    "Note",
    "Objective",
    "Outcome",
    "Pairs",
    "Played",
    "Population",
    "PopulationReport",
    "Posterior",
    "Progress",
    "Quality",
    "Reject",
    "Review",
    "Scored",
    "Sharpness",
    "Standing",
    "Statistics",
    "StopReason",
    "Study",
    "Supervisor",
    "ThompsonWeights",
    "Tournament",
    "TournamentReport",
    "Verdict",
    "Work",
    "history_picture",
    "ladder",
    "rating_picture",
    "swiss",
    "verdict_of",
]
