"""One AsyncLM conversation: a model that goes on generating while its calls run."""

from agentflow.session.blocks import interrupt_block
from agentflow.session.carrier import Carrier, CarrierStream, Native
from agentflow.session.session import OnFinish, OnOverflow, Persona, Session

__all__ = [
    "Carrier",
    "CarrierStream",
    "Native",
    "OnFinish",
    "OnOverflow",
    "Persona",
    "Session",
    "interrupt_block",
]
