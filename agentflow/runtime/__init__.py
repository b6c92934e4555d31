"""Runs, their clock, their events and their journal."""

from agentflow.runtime.budget import Budget, Limits
from agentflow.runtime.bus import EventStream
from agentflow.runtime.clock import Clock, current_clock
from agentflow.runtime.context import Context, Job, Runnable
from agentflow.runtime.inbox import Interrupt
from agentflow.runtime.journal import Journal
from agentflow.runtime.map import MapStream
from agentflow.runtime.resources import Resources
from agentflow.runtime.result import Result
from agentflow.runtime.run import Run
from agentflow.runtime.runtime import Runtime
from agentflow.runtime.sources import Timer

__all__ = [
    "Budget",
    "Clock",
    "Context",
    "EventStream",
    "Interrupt",
    "Job",
    "Journal",
    "Limits",
    "MapStream",
    "Resources",
    "Result",
    "Run",
    "Runnable",
    "Runtime",
    "Timer",
    "current_clock",
]
