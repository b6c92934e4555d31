"""Vertex AI: where a project's models are, and the short-lived tokens that open them."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from agentflow.endpoints.dialect import Dialect, bearer
from agentflow.endpoints.providers import PROVIDERS, find_variable, read_key
from agentflow.errors import EndpointError, EndpointUnavailable, RequestRejected, UserError, missing_extra

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["GoogleCredentials", "vertex_address", "vertex_place"]

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN = "VERTEXAI_ACCESS_TOKEN"


def vertex_place(base_url: str, dialect: Dialect) -> tuple[str, Dialect]:
    """Return the base address of a project's models at a location.

    Without `base_url`, or with Google's host alone, both come from `VERTEXAI_PROJECT_ID` and
    `VERTEXAI_LOCATION_ID` (`us-central1`). Raises `UserError` when the project is not told.
    """
    if base_url:
        try:
            bare = urlsplit(base_url).path.rstrip("/") in ("", "/v1")
        except ValueError:  # no address, which whoever uses it says
            bare = False
        if not bare or not PROVIDERS["vertexai"].owns(base_url):
            return base_url, dialect
    project, location = find_variable("VERTEXAI_PROJECT_ID"), find_variable("VERTEXAI_LOCATION_ID")
    location = location or "us-central1"
    if not project:
        raise UserError(
            "vertexai: no project: set VERTEXAI_PROJECT_ID, or give base_url "
            "https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION"
        )
    return vertex_address(project, location, base_url.rstrip("/").removesuffix("/v1")), dialect


def vertex_address(project: str, location: str, root: str = "") -> str:
    """Return the address of a project's models at a location, by default at Google's host for it."""
    host = "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
    return f"{root or f'https://{quote(host)}'}/v1/projects/{quote(project)}/locations/{quote(location)}"


class GoogleCredentials:
    """Headers with a token: that of `VERTEXAI_ACCESS_TOKEN`, else of google-auth's default credentials.

    The latter are looked up and refreshed in a thread, some minutes before a token's end.
    """

    def __init__(self, wanted_by: str) -> None:
        self._wanted_by = wanted_by
        self._lock = threading.Lock()
        self._credentials: Any = None

    def check(self) -> None:
        """Raise `UserError` when there is neither a token nor google-auth."""
        if not find_variable(_TOKEN):
            _google("google.auth")

    async def headers(self) -> dict[str, str]:
        """Return the headers of a request. Raises `UserError` or `EndpointError` when no token is given."""
        if find_variable(_TOKEN):
            return bearer(read_key(_TOKEN, self._wanted_by))
        if self._credentials is None or not self._credentials.valid:
            await asyncio.to_thread(self._refresh)
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        return headers

    def _refresh(self) -> None:
        """Look up the credentials, and get a token where there is none that lasts."""
        auth, errors = _google("google.auth"), _google("google.auth.exceptions")
        requests = _google("google.auth.transport.requests")
        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials, _ = auth.default(scopes=[_SCOPE])
                if not self._credentials.valid:
                    self._credentials.refresh(requests.Request())
            except errors.DefaultCredentialsError:
                raise UserError(
                    f"{self._wanted_by}: no Google credentials: run `gcloud auth application-default login`, "
                    f"or set GOOGLE_APPLICATION_CREDENTIALS or {_TOKEN}"
                ) from None
            except errors.GoogleAuthError as error:
                raise self._refused(error) from None

    def _refused(self, error: Any) -> EndpointError:
        passing = error.retryable or type(error).__name__ == "TransportError"
        kind = EndpointUnavailable if passing else RequestRejected
        return kind(f"{self._wanted_by}: Google gives no token ({type(error).__name__})")


def _google(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise missing_extra("google-auth", "vertexai") from None
