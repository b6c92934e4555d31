"""Tournaments: who is best, by matches, and how sure that is."""

from __future__ import annotations

from agentflow.tournament.agents import Agents, Board, Halt, Look, Make, Maker, Reject, Review, Study
from agentflow.tournament.judging import Judge, Match, Mode, Verdict, verdict_of
from agentflow.tournament.live import LiveTournament
from agentflow.tournament.pairing import Objective, Pairs, ladder, swiss
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
from agentflow.tournament.supervisor import FixedWeights, Statistics, Supervisor, Work
from agentflow.tournament.tournament import Tournament

__all__ = [
    "Agents",
    "Board",
    "FixedWeights",
    "Halt",
    "Judge",
    "LiveTournament",
    "Look",
    "Make",
    "Maker",
    "Match",
    "Mode",
    "Note",
    "Objective",
    "Outcome",
    "Pairs",
    "Played",
    "Posterior",
    "Progress",
    "Quality",
    "Reject",
    "Review",
    "Sharpness",
    "Standing",
    "Statistics",
    "StopReason",
    "Study",
    "Supervisor",
    "Tournament",
    "TournamentReport",
    "Verdict",
    "Work",
    "ladder",
    "swiss",
    "verdict_of",
]
