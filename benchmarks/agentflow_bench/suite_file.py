"""Suites in YAML: a bench and its options in a file, `agentflow bench FILE.yaml`.

```yaml
bench: robotouille
suite: [synchronous, asynchronous]
agent: [react, plag-bag]
model: openai:gpt-5-mini
seeds: [42, 84]
```
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from agentflow.errors import UserError
from agentflow_protocols.workflow.document import read_document

__all__ = ["is_suite_file", "read_suite"]


def is_suite_file(word: str) -> bool:
    """Return whether a word of the command line names a suite file."""
    return word.endswith((".yaml", ".yml"))


def read_suite(path: Path, options: Mapping[str, Collection[str]]) -> list[str]:
    """Return the command line that a file stands for: the bench, and an option for each key.

    `options` are the options' names, such as `--seeds`, by bench. A list repeats its option, but that
    of `seeds`, which is one text. Raises `UserError` with the file and the key.
    """
    data = _read(path)
    bench = data.pop("bench", None)
    if not isinstance(bench, str) or bench not in options:
        raise UserError(f"{path}: `bench:` is one of {', '.join(options)}, not {bench!r}")
    words = [bench]
    for key, value in data.items():
        option = f"--{key.replace('_', '-')}"
        if option not in options[bench]:
            near = get_close_matches(option, options[bench], 1)
            hint = f" (did you mean `{near[0].removeprefix('--')}`?)" if near else ""
            raise UserError(f"{path}: {bench} has no option `{key}`{hint}")
        words += _words(path, option, value)
    return words


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    document, problems = read_document(text, str(path))
    if problems and text.strip():
        raise UserError(str(problems[0]))
    if not isinstance(document.value, dict):
        raise UserError(f"{path}: a suite is `bench: NAME` and options, a key each")
    return dict(document.value)


def _words(path: Path, option: str, value: object) -> Sequence[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    if isinstance(value, list):
        if not all(isinstance(one, str | int | float) for one in value):
            raise UserError(f"{path}: {option.removeprefix('--')} is a list of texts or numbers")
        texts = [str(one) for one in value]
        return (
            [option, ",".join(texts)]
            if option == "--seeds"
            else [w for text in texts for w in (option, text)]
        )
    if isinstance(value, str | int | float):
        return [option, str(value)]
    raise UserError(f"{path}: {option.removeprefix('--')} is a text, a number, true, or a list of them")
