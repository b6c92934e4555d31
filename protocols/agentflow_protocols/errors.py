"""The root of agentflow's error tree, and the errors of its protocols.

`agentflow.errors` draws the whole tree and re-exports these.
"""

from __future__ import annotations

__all__ = ["AgentflowError", "LocalProtocolError", "ProtocolError", "RemoteProtocolError"]


class AgentflowError(Exception):
    """Every error that agentflow raises on purpose."""


class ProtocolError(AgentflowError):
    """What was said does not follow the protocol it is said in."""


class LocalProtocolError(ProtocolError):
    """agentflow was about to say something invalid: a defect of agentflow's own."""


class RemoteProtocolError(ProtocolError):
    """The model or the peer said something invalid."""
