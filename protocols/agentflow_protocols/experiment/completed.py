"""A completed record: the input's keys, then what a run has added. prompto's form, and ours beyond it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.line import read_line
from agentflow_protocols.experiment.problem import Problem
from agentflow_protocols.experiment.record import ADDED, Record, Values, carried, is_output, split

__all__ = [
    "TIMESTAMP",
    "Completed",
    "completed",
    "completed_of",
    "error_text",
    "is_error_text",
    "read_completed",
]

TIMESTAMP = "%d-%m-%Y-%H-%M-%S"
"""The form of `timestamp_sent`, and of the time in the names of output files."""

_KINDS = (
    *("NotImplementedError", "KeyError", "ValueError", "TypeError", "FileNotFoundError"),
    *("JSONDecodeError", "UnicodeDecodeError", "UnicodeEncodeError", "ValidationError"),
    *("EndpointError", "RateLimited", "EndpointUnavailable", "BadResponse", "QuotaExhausted"),
    *("RequestRejected", "ContextOverflow", "UserError", "LimitExceeded", "RunError", "ExperimentError"),
    *("LocalProtocolError", "RemoteProtocolError"),
)
_ONCE = re.compile(rf"(?:{'|'.join(_KINDS)}) - ")
_RETRIED = re.compile(
    r"An unexpected error occurred when querying the API: (?:\(\w+ - .*\)|\w+ - .*)"
    r" after maximum \d+ attempts",
    re.DOTALL,
)  # without brackets: the first releases of prompto


def error_text(kind: str, message: str, attempts: int | None) -> str:
    """Return what stands as the response of a failed prompt. `attempts` is None where it was not retried."""
    if attempts is None:
        return f"{kind} - {message}"
    return (
        f"An unexpected error occurred when querying the API: ({kind} - {message}) "
        f"after maximum {attempts} attempts"
    )


def is_error_text(response: Json) -> bool:
    """Return whether a response, or one in a list of them, has a form of `error_text`."""
    if isinstance(response, str):
        return _ONCE.match(response) is not None or _RETRIED.fullmatch(response) is not None
    return isinstance(response, list | tuple) and any(
        isinstance(item, str) and is_error_text(item) for item in response
    )


def completed(values: Mapping[str, Json], added: Mapping[str, Json]) -> Values:
    """Return the completed record: the input's keys in order, then those of `added`, `timestamp_sent` first.

    Names in ADDED give way to a key of the input; others take its place, at the end. What an
    earlier run added is dropped, where `values` are themselves a completed record; keys of
    others after it stay at the end.
    """
    out, before = split(values, is_output(values))
    if "timestamp_sent" in added:
        out["timestamp_sent"] = added["timestamp_sent"]
    for name, value in added.items():
        if name == "timestamp_sent" or (name in ADDED and name in out):
            continue
        out.pop(name, None)
        out[name] = value
    return out | {name: value for name, value in carried(before, values).items() if name not in out}


@dataclass(slots=True)
class Completed:
    """A line of an output file. `values` are the input's part, `added` what the run added;
    `failed` where the response is an error, or null."""

    line: int
    values: Values
    added: Values
    failed: bool

    @property
    def record(self) -> Record:
        """The record that was asked; its `hash` is that of the input's."""
        return Record(self.line, self.values)

    @property
    def whole(self) -> Values:
        """Both parts together."""
        return {**self.values, **self.added}

    @property
    def response(self) -> Json:
        """The response: text, or a list of them."""
        return self.added.get("response")


def read_completed(raw: bytes, line: int) -> Completed | Problem:
    """Return a completed line of prompto's or ours; a Problem for one that is none. Never raises."""
    record = read_line(raw, line, first=line == 1)
    if record is None:
        return Problem(line, "an empty line")
    if isinstance(record, Problem):
        return record
    return completed_of(record)


def completed_of(record: Record) -> Completed | Problem:
    """Return the completed record that was read as `record`, from a line or a CSV row."""
    if "response" not in record.values:
        return Problem(record.line, "no `response`: this prompt was not completed")
    values, added = split(record.values, output=True)
    return Completed(record.line, values, added, _failed(values, added))


def _failed(values: Values, added: Values) -> bool:
    response = added["response"]
    if response is None:
        return True
    if "error" in added:
        return added["error"] is not None
    if "error" not in values and any(name in added for name in ADDED):
        return False  # a line of ours, which would say `error`
    return is_error_text(response)
