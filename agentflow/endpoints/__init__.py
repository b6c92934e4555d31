"""Calling models: endpoints, their limits, retries, prices and transports."""

from __future__ import annotations

from agentflow.endpoints.allowance import Allowance
from agentflow.endpoints.cache import ReplyCache
from agentflow.endpoints.embeddings import Embedder, Embeddings
from agentflow.endpoints.endpoint import Endpoint
from agentflow.endpoints.limit_scheduler import LimitScheduler
from agentflow.endpoints.model import Head, Model, ReplyStream
from agentflow.endpoints.price import Price
from agentflow.endpoints.probe import probe
from agentflow.endpoints.retry import Retry
from agentflow.endpoints.scheduler import Limits, Permit, Scheduler
from agentflow.endpoints.stream import EndpointStream, OnRetry
from agentflow.endpoints.transport import Response, Timeouts, Transport
from agentflow_protocols.chat.capabilities import Capabilities

__all__ = [
    "Allowance",
    "Capabilities",
    "Embedder",
    "Embeddings",
    "Endpoint",
    "EndpointStream",
    "Head",
    "LimitScheduler",
    "Limits",
    "Model",
    "OnRetry",
    "Permit",
    "Price",
    "ReplyCache",
    "ReplyStream",
    "Response",
    "Retry",
    "Scheduler",
    "Timeouts",
    "Transport",
    "probe",
]
