"""Write blocks of the markup."""

from __future__ import annotations

from collections.abc import Iterable

from agentflow_protocols.cml.body import write_body
from agentflow_protocols.cml.escaping import escape
from agentflow_protocols.cml.markup import Markup, id_fault
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["encode_call", "encode_interrupt", "encode_trap"]

_PLAIN = Markup()


def encode_call(id: str | None, name: str, arguments: str, markup: Markup = _PLAIN) -> str:
    """Return the block in which a model calls `name`; `arguments` is the JSON text of an object.

    Control tokens in the arguments' strings are escaped. Raises `LocalProtocolError` for an
    id, a name or arguments that can't be said.
    """
    body = write_body(name, arguments, markup)
    if id is None:
        return f"{markup.call} {body} {markup.end}"
    return f"{markup.call} {_checked(id)} {markup.head} {body} {markup.end}"


def encode_interrupt(source: str, value: str, markup: Markup = _PLAIN) -> str:
    """Return the block in which the runtime reports `value` from a call or another source."""
    label = escape("_".join(source.split()) or "unknown", markup)
    return f"{markup.intr} {label} {markup.head} {escape(value, markup)} {markup.end}"


def encode_trap(ids: Iterable[str] = (), markup: Markup = _PLAIN) -> str:
    """Return the block in which a model waits: for any interrupt, or for the calls `ids`."""
    return " ".join([markup.trap, *(_checked(id) for id in ids), markup.end])


def _checked(id: str) -> str:
    fault = id_fault(id)
    if fault is not None:
        raise LocalProtocolError(f"{id[:64]!r} can't be the id of a call: it {fault}")
    return id
