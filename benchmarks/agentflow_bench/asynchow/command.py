"""`agentflow bench asynchow`: a model asked AsyncHow's questions by methods; without a model, the proofs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agentflow.errors import UserError
from agentflow.plan.methods import method_of
from agentflow_bench.asynchow.original import fetch
from agentflow_bench.asynchow.questions import draw, read_questions
from agentflow_bench.asynchow.run import Asking, trials_of
from agentflow_bench.asynchow.wording import Wording
from agentflow_bench.trials import run_trials
from agentflow_bench.trials.asked import AskedModel
from agentflow_bench.trials.run import Keeping
from agentflow_protocols.plan import FORMS

__all__ = ["ask_model", "asking_of"]


def asking_of(
    model: AskedModel, method: str, form: str, concurrency: int, *, wording: Path | None = None
) -> Asking:
    """Return who is asked and how. Raises `UserError`."""
    if form not in FORMS:
        raise UserError(f"--form {form}: allowed are {', '.join(FORMS)}")
    if concurrency < 1:
        raise UserError(f"--concurrency must be 1 or more, not {concurrency}")
    return Asking(
        model,
        method_of(method),
        next(one for one in FORMS if one == form),
        concurrency,
        None if wording is None else Wording(wording),
    )


def ask_model(
    askings: Sequence[Asking],
    data: Path | None,
    keeping: Keeping,
    *,
    count: int | None,
    fetched: bool,
    as_data: bool,
) -> int:
    """Ask the questions by one method after the other, write and print what came of it.

    Each has its own journal, and so goes on where it was. Return the exit status.
    """
    if count is not None and count < 1:
        raise UserError(f"--n must be 1 or more, not {count}")
    path = fetch() if fetched else data
    questions = draw(read_questions(path), count)
    where = "the project's own sample" if path is None else f"{len(questions)} of {path.name or path}"
    each = {str(asking.about): asking for asking in askings}
    return run_trials(
        [trials_of(asking, questions) for asking in each.values()], keeping, as_data=as_data, where=where
    )
