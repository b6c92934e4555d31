"""CML, the markup of interruptible asynchronous calls: parser, encoder, grammar.

`protocols/asynclm.md` is the specification; its clauses (`AL-…`) are named in the tests.
"""

from agentflow_protocols.cml.encode import encode_call, encode_interrupt, encode_trap
from agentflow_protocols.cml.escaping import escape, unescape
from agentflow_protocols.cml.events import (
    CallReady,
    CallStarted,
    Event,
    InterruptRead,
    ProtocolViolation,
    ReasoningDelta,
    TextDelta,
    TrapReached,
    Violation,
)
from agentflow_protocols.cml.gbnf import grammar
from agentflow_protocols.cml.markup import RESERVED, Markup
from agentflow_protocols.cml.parser import Parser
from agentflow_protocols.cml.states import STATES, TRANSCRIPT

__all__ = [
    "RESERVED",
    "STATES",
    "TRANSCRIPT",
    "CallReady",
    "CallStarted",
    "Event",
    "InterruptRead",
    "Markup",
    "Parser",
    "ProtocolViolation",
    "ReasoningDelta",
    "TextDelta",
    "TrapReached",
    "Violation",
    "encode_call",
    "encode_interrupt",
    "encode_trap",
    "escape",
    "grammar",
    "unescape",
]
