"""Reading a journal that has only begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow import UserError
from agentflow.runtime.schema import open_reader


def test_a_journal_without_tables_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()
    with pytest.raises(UserError, match="no runs yet"):
        open_reader(tmp_path / "runs.db")
