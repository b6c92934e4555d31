"""A text that SQLite can't hold: the journal says so, and nobody waits for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agentflow.errors import RunError
from agentflow.runtime.journal import RunFact
from agentflow.runtime.sqlite import SqliteJournal


async def test_half_a_surrogate_pair_in_a_name(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    await journal.open()
    journal.put(RunFact("r1", None, None, "batch", "a\udcff", b"{}", "1", time.time()))
    with pytest.raises(RunError, match="surrogates not allowed"):
        await journal.barrier()
    with pytest.raises(RunError, match="surrogates not allowed"):
        await journal.aclose()
