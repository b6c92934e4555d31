"""Rephrasers: models that are asked to say a prompt anew, and the prompts that come of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.completed import Completed
from agentflow_protocols.experiment.record import Values
from agentflow_protocols.experiment.template import fill, id_text, model_settings, prefixed

__all__ = [
    "PARSERS",
    "original_line",
    "post_rephrase_lines",
    "rephrase_lines",
    "rephrase_settings",
    "rephrase_templates",
    "split_numbered_list",
]

_MARK = re.compile(r"(?<![\w.])(\d{1,6})\.(?:\s+|$)", re.ASCII)
_BRACKETS = re.compile(r"\([^()\n]*\)")
_KEPT = ("input-prompt", "input-id", "input-timestamp_sent", "input-response")


def rephrase_settings(data: object, wanted: Sequence[str] | None = None) -> dict[str, Values]:
    """Return the models of a `settings.json`, those `wanted` in order, or all.

    Raises ExperimentError with all that is wrong with them, or for a model that is not there.
    """
    return model_settings(data, wanted, "rephrase model")


def rephrase_templates(text: str) -> list[str]:
    r"""Return the templates of a file, one a line, where `\n` is a line feed. Empty lines count."""
    return [line.replace("\\n", "\n").strip() for line in text.splitlines()]


def rephrase_lines(
    values: Mapping[str, Json], templates: Sequence[str], models: Mapping[str, Values]
) -> Iterator[Values]:
    """Yield what each model is asked, by each template that is not empty, to say a record's prompt anew."""
    for model, settings in models.items():
        for index, template in enumerate(templates):
            if template:
                yield {
                    "id": f"rephrase-{model}-{index}-{id_text(values)}",
                    "template_index": index,
                    "prompt": fill(template, {"INPUT_PROMPT": str(values.get("prompt"))}),
                    **settings,
                    **prefixed(values),
                }


def post_rephrase_lines(
    completed: Completed, parser: Callable[[str], list[str]] | None = None
) -> Iterator[Values]:
    """Yield the records that ask what a model has rephrased; none where it failed.

    Each text of the response is a prompt, or each that `parser` finds in it; where they are
    several, their number is put to the id. The other keys are those of the first record.
    """
    response = completed.response
    texts = [str(item) for item in (response if isinstance(response, list | tuple) else [response])]
    if parser is not None:
        texts = [part for text in texts for part in parser(text)]
    values = completed.values
    for number, text in enumerate(() if completed.failed else texts):
        line: Values = {
            "id": f"{id_text(values)}-{number}" if len(texts) > 1 else values.get("id"),
            "prompt": text,
            "input-prompt": values.get("input-prompt"),
            "input-id": values.get("input-id", "NA"),
        }
        for name, value in values.items():
            if name.startswith("input-") and name not in _KEPT:
                line[name.removeprefix("input-")] = value
        yield line


def original_line(values: Mapping[str, Json]) -> Values:
    """Return a record that is asked beside its rephrased forms: as it was, and its id as `input-id`."""
    return {**values, "input-id": values.get("id")}


def split_numbered_list(text: str) -> list[str]:
    """Return the items of a numbered list, without what stands in brackets and quotes round an item.

    Numbers count up from the first, `1. … 2. …`, on one line or several; text before the first
    is no item. Without numbers the text is the one item.
    """
    marks: list[re.Match[str]] = []
    for mark in _MARK.finditer(text):
        begins = not text[: mark.start()].rpartition("\n")[2].strip()
        if (not marks and (begins or mark[1] == "1")) or (marks and int(mark[1]) == int(marks[-1][1]) + 1):
            marks.append(mark)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = [text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)] if marks else [text]
    items = (_unquoted(_BRACKETS.sub("", part).strip()) for part in parts)
    return [item for item in items if item]


PARSERS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType(
    {"split_numbered_list": split_numbered_list}
)
"""What finds several prompts in one response, by name."""


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
