"""llama.cpp's server, as a program: it is told what to serve on its input, and ends when that closes.

It is no part of the process that asks: loading holds the interpreter's lock, so that no
event loop would turn meanwhile; a server that was closed leaves a thread behind, and the
next one in the same process may hang. A process is killed at any moment, ends with the
one that started it, and gives back all its memory. It is run as a file, and imports
nothing of ours, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import sys
from http.client import HTTPConnection
from typing import TypedDict
from urllib.parse import urlsplit

__all__ = ["Order", "compute_threads", "main"]

# Kept of the prompts of conversations that have no slot any more.
_PROMPT_CACHE_MIB = 512


class Order(TypedDict):
    """What the first line of the input says. `context` is tokens of each of the `slots`; 0 threads choose."""

    path: str
    context: int
    slots: int
    threads: int
    key: str


def main() -> None:
    """Serve until the input ends. The answer is `{"url", "tools"}` or `{"error"}`, on one line."""
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    order: Order = json.loads(sys.stdin.buffer.readline())
    try:
        server, answer = _serve(order)
    except Exception as error:
        server, answer = None, {"error": f"{type(error).__name__}: {error}"}
    os.write(answers, json.dumps(answer).encode() + b"\n")
    if server is not None:
        sys.stdin.buffer.read()
    # Not by way of destructors: what is being generated ends here, too.
    os._exit(0)


def _serve(order: Order) -> tuple[object, dict[str, object]]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["path"]
    params.n_ctx = order["context"] * order["slots"]
    params.n_parallel = order["slots"]
    threads = order["threads"] or compute_threads()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.api_keys = [order["key"]]
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    url = server.listening_address
    return server, {"url": url, "tools": _takes_tools(url, order["key"])}


def compute_threads() -> int:
    """Return how many threads compute: they wait for one another, so each needs a core to itself.

    With a thread for every core, one other busy program makes a reply up to ten times slower.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, cores - 1) if cores <= 4 else cores // 2  # above, half of them are mostly second threads


def _takes_tools(url: str, key: str) -> bool:
    """Return whether the model's chat template shows it the tools of a request."""
    where = urlsplit(url)
    connection = HTTPConnection(where.hostname or "", where.port)
    connection.request("GET", "/props", headers={"Authorization": f"Bearer {key}"})
    properties = json.loads(connection.getresponse().read())
    connection.close()
    return bool(properties.get("chat_template_caps", {}).get("supports_tools"))


if __name__ == "__main__":
    main()
