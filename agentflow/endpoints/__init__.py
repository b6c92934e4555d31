"""Calling models: endpoints, their limits, retries, prices and transports."""

from __future__ import annotations

from agentflow.endpoints.allowance import Allowance
from agentflow.endpoints.cache import ReplyCache
from agentflow.endpoints.decisions import (
    Admitted,
    Decision,
    FellBack,
    Hedged,
    OnEvent,
    Retrying,
    Waiting,
)
from agentflow.endpoints.deferred import Deferred, DeferredState
from agentflow.endpoints.embeddings import Embedder, Embeddings
from agentflow.endpoints.endpoint import Endpoint
from agentflow.endpoints.limit_scheduler import LimitScheduler
from agentflow.endpoints.model import Head, Model, ReplyStream
from agentflow.endpoints.patience import Patience
from agentflow.endpoints.pool import Pool
from agentflow.endpoints.price import Price
from agentflow.endpoints.probe import probe
from agentflow.endpoints.results import DeferredResults
from agentflow.endpoints.retry import Retry
from agentflow.endpoints.scheduler import Limits, Permit, Scheduler
from agentflow.endpoints.standing import Standing
from agentflow.endpoints.stream import EndpointStream
from agentflow.endpoints.transport import Response, Timeouts, Transport
from agentflow_protocols.chat.capabilities import Capabilities

__all__ = [
    "Admitted",
    "Allowance",
    "Capabilities",
    "Decision",
    "Deferred",
    "DeferredResults",
    "DeferredState",
    "Embedder",
    "Embeddings",
    "Endpoint",
    "EndpointStream",
    "FellBack",
    "Head",
    "Hedged",
    "LimitScheduler",
    "Limits",
    "Model",
    "OnEvent",
    "Patience",
    "Permit",
    "Pool",
    "Price",
    "ReplyCache",
    "ReplyStream",
    "Response",
    "Retry",
    "Retrying",
    "Scheduler",
    "Standing",
    "Timeouts",
    "Transport",
    "Waiting",
    "probe",
]
