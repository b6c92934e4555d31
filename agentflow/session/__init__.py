"""One AsyncLM conversation: a model that goes on generating while its calls run."""

from agentflow.session.carrier import Carrier, CarrierStream, Native
from agentflow.session.markup_carrier import CmlChat, CmlText, InFlight
from agentflow.session.persona import OnFinish, OnOverflow, Persona, TrapMode
from agentflow.session.prompt import CHATML, PLAIN, Template
from agentflow.session.session import Session

__all__ = [
    "CHATML",
    "PLAIN",
    "Carrier",
    "CarrierStream",
    "CmlChat",
    "CmlText",
    "InFlight",
    "Native",
    "OnFinish",
    "OnOverflow",
    "Persona",
    "Session",
    "Template",
    "TrapMode",
]
