"""Chat messages and the dialects in which providers take them."""

from agentflow_protocols.chat import messages as _messages
from agentflow_protocols.chat.messages import *  # noqa: F403

__all__ = list(_messages.__all__)
