"""The whole error tree. Who must act is in the type.

```
AgentflowError
├── UserError                 the caller: a wrong argument, plan or workflow file
├── EndpointError             the operator: a model endpoint does not do its work
│   ├── RateLimited           429; carries `retry_after` seconds, where the server named them
│   ├── EndpointUnavailable   no connection, a time-out, 408, 409, 5xx, a stream cut short
│   ├── BadResponse           an answer that is no valid reply
│   ├── QuotaExhausted        the account has no credit or quota left
│   └── RequestRejected       400, 401, 403, 404, 422: the same request will fail again
│       └── ContextOverflow   the conversation does not fit the model's context window
├── ToolError
│   ├── ToolRetry             the model may call again with better arguments
│   │   ├── InvalidAction     an action that an environment does not allow now (`agentflow.environment`)
│   │   └── PolicyFault       what a policy that a model wrote did wrong (`agentflow.dual`)
│   └── ToolFailed            it may not
├── ProtocolError
│   ├── LocalProtocolError    our own defect
│   └── RemoteProtocolError   the model's or a peer's
├── LimitExceeded             a limit of turns, tokens, money or time was reached
└── RunError                  a run can't go on: cancelled, stalled, lost, or a broken journal
    ├── PlanFailed            steps of a plan failed; carries the state of every step
    └── ReviewFailed          rows of a review lack votes; carries the report (`agentflow.review`)
```

`asyncio.CancelledError` is never one of these and is never swallowed.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentflow_protocols.errors import AgentflowError, LocalProtocolError, ProtocolError, RemoteProtocolError

__all__ = [
    "AgentflowError",
    "BadResponse",
    "ContextOverflow",
    "EndpointError",
    "EndpointUnavailable",
    "LimitExceeded",
    "LocalProtocolError",
    "PlanFailed",
    "ProtocolError",
    "QuotaExhausted",
    "RateLimited",
    "RemoteProtocolError",
    "RequestRejected",
    "RunError",
    "ToolError",
    "ToolFailed",
    "ToolRetry",
    "UserError",
    "missing_extra",
]


class UserError(AgentflowError):
    """The caller must change something: an argument, a plan, a workflow file."""


class EndpointError(AgentflowError):
    """A model endpoint did not do its work; the operator must act.

    `status` is the HTTP status, where there was one; `retry_after` the seconds
    that the server asked to wait, where it did.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RateLimited(EndpointError):
    """The endpoint refused the request for now (429)."""


class EndpointUnavailable(EndpointError):
    """No connection, a time-out, an overloaded or failing server, a stream cut short."""


class BadResponse(EndpointError):
    """The endpoint answered with something that is no valid reply."""


class QuotaExhausted(EndpointError):
    """The account behind the key has no credit or quota left."""


class RequestRejected(EndpointError):
    """The endpoint will refuse this request every time (400, 401, 403, 404, 422)."""


class ContextOverflow(RequestRejected):
    """The conversation does not fit the model's context window."""


class ToolError(AgentflowError):
    """A tool did not succeed."""


class ToolRetry(ToolError):
    """The model may try again; the message tells it what to change."""


class ToolFailed(ToolError):
    """The tool failed, and another try of the model will not help."""


class LimitExceeded(AgentflowError):
    """A limit was reached. `limit` names it: turns, tokens, money or time."""

    def __init__(self, message: str, *, limit: str = "") -> None:
        super().__init__(message)
        self.limit = limit


class RunError(AgentflowError):
    """A run can't go on: it was cancelled, it stalled, or its journal is unusable."""


class PlanFailed(RunError):
    """Steps of a plan have failed. `states` is the state of every step, `faults` what went wrong."""

    def __init__(
        self,
        message: str,
        *,
        states: Mapping[str, str] | None = None,
        faults: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.states = dict(states or {})
        self.faults = dict(faults or {})


def missing_extra(package: str, extra: str) -> UserError:
    """Return the one error for an optional package that is not installed."""
    return UserError(f"{package} is not installed: pip install 'agentflow-async[{extra}]'")
