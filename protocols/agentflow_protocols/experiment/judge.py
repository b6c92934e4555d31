"""Judges: models that are asked about the answers of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.problem import ExperimentError
from agentflow_protocols.experiment.record import Values
from agentflow_protocols.experiment.template import fill, id_text, model_settings, prefixed

__all__ = ["judge_lines", "judge_settings", "template_name"]


def judge_settings(data: object, wanted: Sequence[str] | None = None) -> dict[str, Values]:
    """Return the judges of a `settings.json`, those `wanted` in order, or all.

    Raises ExperimentError with all that is wrong with them, or for a judge that is not there.
    """
    return model_settings(data, wanted, "judge")


def judge_lines(
    completed: Mapping[str, Json], templates: Mapping[str, str], judges: Mapping[str, Values]
) -> Iterator[Values]:
    """Yield what each judge is asked about a completed record, by each template.

    A template has `{INPUT_PROMPT}` and `{OUTPUT_RESPONSE}`; lists stand there as Python writes
    them. All keys of the record come along, with `input-` before their names.
    """
    for name in ("prompt", "response"):
        if name not in completed:
            raise ExperimentError(f"a judge needs a completed record; this one has no `{name}`")
    texts = {"INPUT_PROMPT": str(completed["prompt"]), "OUTPUT_RESPONSE": str(completed["response"])}
    for judge, settings in judges.items():
        for template, text in templates.items():
            yield {
                "id": f"judge-{judge}-{template}-{id_text(completed)}",
                "template_name": template,
                "prompt": fill(text, texts),
                **settings,
                **prefixed(completed),
            }


def template_name(file: str) -> str:
    """Return the name of the template in a file: the file's name up to its first dot."""
    return file.split(".")[0]
