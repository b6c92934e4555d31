"""Test agents without a model, a network or waiting: fakes, virtual time, a real server, leak checks."""

from __future__ import annotations

from agentflow.builtin.scripted import ScriptedCall, ScriptedReply
from agentflow.testing.answers import Answer
from agentflow.testing.chat_server import Fault, ServedRequest
from agentflow.testing.clock import VirtualClock
from agentflow.testing.fake import FakeEndpoint
from agentflow.testing.leaks import NothingLeft, assert_nothing_left
from agentflow.testing.loopback import LoopbackServer

__all__ = [
    "Answer",
    "FakeEndpoint",
    "Fault",
    "LoopbackServer",
    "NothingLeft",
    "ScriptedCall",
    "ScriptedReply",
    "ServedRequest",
    "VirtualClock",
    "assert_nothing_left",
]
