"""AskedModel: which model a bench asks, and with what settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from agentflow.endpoints import Endpoint, Price
from agentflow.errors import UserError
from agentflow_protocols.chat import Settings
from agentflow_protocols.workflow import FREE_SCHEMES

__all__ = ["AskedModel"]


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model's name as endpoints take it, its server where it is no provider's, and settings."""

    name: str
    base_url: str | None = None
    api_key_env: str | None = None
    temperature: float | None = 0.0
    max_tokens: int | None = None

    @property
    def free(self) -> bool:
        """Whether it costs nothing and waits for nobody: rule-based, scripted or local."""
        return self.name.partition(":")[0] in FREE_SCHEMES

    @property
    def scripted(self) -> bool:
        """Whether its replies come in one order, so that one case must follow another."""
        return self.name.startswith("scripted:")

    @property
    def settings(self) -> Settings:
        """The settings of each request."""
        return Settings(temperature=self.temperature, max_tokens=self.max_tokens)

    def other_than(self, temperature: float | None) -> str:
        """Return a short digest of what is not as usual, "" where all is: other settings, other answers."""
        how = (self.base_url, self.temperature, self.max_tokens)
        return "" if how == (None, temperature, None) else hashlib.sha256(repr(how).encode()).hexdigest()[:6]

    def endpoint(self) -> Endpoint:
        """Return its endpoint, checked. Raises `UserError`."""
        made = Endpoint(
            self.name,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            settings=self.settings,
            price=Price(0.0, 0.0) if self.free else None,
        )
        made.check()
        return made

    @staticmethod
    def of(
        name: str, base_url: str | None, api_key_env: str | None, temperature: str, max_tokens: int | None
    ) -> AskedModel:
        """Return the model of a command's options; temperature `none` sends none. Raises `UserError`."""
        if max_tokens is not None and max_tokens < 1:
            raise UserError(f"--max-tokens must be 1 or more, not {max_tokens}")
        try:
            warmth = None if temperature == "none" else float(temperature)
        except ValueError:
            warmth = -1.0
        if warmth is not None and not 0 <= warmth < float("inf"):
            raise UserError(f"--temperature {temperature}: a number from 0, or none to send none")
        return AskedModel(name, base_url, api_key_env, warmth, max_tokens)
