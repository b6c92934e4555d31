"""Other words for the questions: a Jinja template, for those who want the original's or their own."""

from __future__ import annotations

from pathlib import Path

from agentflow.errors import UserError
from agentflow_bench.asynchow.questions import Question
from agentflow_protocols.plan import Form, encode_graph

__all__ = ["Wording"]


class Wording:
    """A template that is given `task`, `title`, `steps` (name, text, duration), `edges`, `graph` and `form`.

    Raises `UserError` for a file that is no template.
    """

    def __init__(self, file: Path) -> None:
        import jinja2.sandbox

        self.name = file.stem
        self._file = file
        self._failures: type[Exception] = jinja2.TemplateError
        environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
        try:
            self._template = environment.from_string(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"--wording {file}: {error.strerror}") from None
        except jinja2.TemplateSyntaxError as error:
            raise UserError(f"--wording {file}:{error.lineno}: {error.message}") from None

    def words(self, question: Question, form: Form) -> str:
        """Return a question in these words. Raises `UserError`."""
        plan = question.plan
        try:
            return self._template.render(
                task=question.task,
                title=question.title,
                steps=plan.steps,
                edges=plan.edges,
                graph=encode_graph(plan, form),
                form=form,
            )
        except self._failures as error:
            raise UserError(f"--wording {self._file}: {error}") from None
