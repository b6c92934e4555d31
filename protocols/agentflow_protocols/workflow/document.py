"""A YAML file as plain values that know where they stand.

The reader builds the tree from parser events, so that depth, aliases, tags and
duplicate keys are judged while they come in: a bomb is refused before it is
unfolded. Scalars follow the core schema of YAML 1.2 (`yes` and `1:30` are text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import yaml
from pydantic import JsonValue

from agentflow_protocols.workflow.problem import Problem

__all__ = [
    "MAX_ALIASES",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_VALUES",
    "Document",
    "Node",
    "Path",
    "read_document",
    "walk",
]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_ALIASES = 1000
MAX_VALUES = 50_000
_PURE_LIMIT = 32 * 1024

Path = Sequence[str | int]

_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TRUE, _FALSE, _NULL = (
    {"true", "True", "TRUE"},
    {"false", "False", "FALSE"},
    {"null", "Null", "NULL", "~", ""},
)
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = {
    f"{_CORE}{name}": kind
    for name, kind in {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}.items()
}
_TREE_TAGS = {f"{_CORE}map", f"{_CORE}seq"}


@dataclass(slots=True)
class Node:
    """A value, where it begins and ends, and the same for what is in it."""

    value: JsonValue
    start: tuple[int, int]
    end: tuple[int, int]
    children: dict[str | int, Node] = field(default_factory=dict)
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1
    aliases: int = 0
    height: int = 0


@dataclass(slots=True)
class Document:
    """One file that was read: its name, its value, and the positions inside it."""

    file: str
    text: str
    root: Node | None = None

    @property
    def value(self) -> JsonValue:
        """The file's value; None when it could not be read."""
        return self.root.value if self.root else None

    def problem(self, path: Path, message: str, *, key: bool = False, find: str | None = None) -> Problem:
        """Return a problem at the value (or, with `key`, the key) at `path`.

        A path that leads nowhere stands for its nearest part that does. `find` is a
        text inside the value at which the problem stands, when it is found there.
        """
        line, column = self._locate(path, key, find)
        return Problem(self.file, line + 1, column + 1, message)

    def _locate(self, path: Path, key: bool, find: str | None) -> tuple[int, int]:
        node = self.root
        if node is None:
            return 0, 0
        place = node.start
        for depth, part in enumerate(path):
            name = node.keys.get(part) if isinstance(part, str) else None
            child = node.children.get(part)
            if child is None:
                return name or place
            last = depth == len(path) - 1
            # An empty value, and one that is itself a mapping, is best shown at its key.
            place = name if name and ((last and key) or isinstance(child.value, dict)) else child.start
            node = child
        return (find and self._find(node, find)) or place

    def _find(self, node: Node, text: str) -> tuple[int, int] | None:
        lines = self.text.split("\n")
        for number in range(node.start[0], min(node.end[0] + 1, len(lines))):
            first = node.start[1] if number == node.start[0] else 0
            match = re.compile(rf"(?<![\w.]){re.escape(text)}(?!\w)").search(lines[number], first)
            if match:
                return number, match.start()
        return None


class _Refused(Exception):
    """The file can't be read any further."""

    def __init__(self, message: str, mark: tuple[int, int]) -> None:
        super().__init__(message)
        self.mark = mark


def read_document(text: str | bytes, file: str, *, pure: bool = False) -> tuple[Document, list[Problem]]:
    """Read one YAML file; `pure` forces the slower reader that is written in Python.

    Returns the document, whose value is None when it could not be read, and every
    problem that was found. Never raises for what is in `text`.
    """
    try:
        decoded = _decode(text)
    except _Refused as error:
        return Document(file, ""), [Problem(file, error.mark[0] + 1, error.mark[1] + 1, str(error))]
    document, problems = _parse(decoded, file, pure)
    fast_failed = document.root is None and not pure and len(decoded) <= _PURE_LIMIT
    return _parse(decoded, file, True) if fast_failed else (document, problems)


def _decode(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > MAX_BYTES:
        raise _Refused(f"the file has more than {MAX_BYTES:,} bytes (1 MiB)", (0, 0))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise _Refused("this is a binary file, not YAML", (0, 0)) from None
        before = data[: error.start].decode("utf-8")
        raise _Refused(f"byte 0x{data[error.start]:02x} is not UTF-8", _end_of(before)) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if (bad := _NOT_TEXT.search(text)) is not None:
        kind = "byte order mark inside a file" if bad.group() == "\ufeff" else "control character"
        what = f"the {kind} U+{ord(bad.group()):04X} is not allowed in YAML"
        raise _Refused(
            what if bad.group() != "\0" else "this is a binary file, not YAML", _end_of(text[: bad.start()])
        )
    return text


def _end_of(text: str) -> tuple[int, int]:
    return text.count("\n"), len(text) - text.rfind("\n") - 1


def _parse(text: str, file: str, pure: bool) -> tuple[Document, list[Problem]]:
    loader = yaml.SafeLoader if pure else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = Document(file, text)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
        if builder.root is None:
            raise _Refused("the file is empty; a workflow begins with `agentflow: 1`", (0, 0))
        document.root = builder.root
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        if "nesting depth" in f"{error.context} {error.problem}":  # newer parsers count ahead of us
            builder.found.append((builder.too_deep(text, place), f"nested more than {MAX_DEPTH} levels deep"))
        else:
            builder.found.append((place, _syntax(error, text, place)))
    except yaml.YAMLError as error:
        builder.found.append(((0, 0), f"not YAML: {' '.join(str(error).split())}"))
    except _Refused as error:
        builder.found.append((error.mark, str(error)))
    return document, [Problem(file, line + 1, column + 1, what) for (line, column), what in builder.found]


def _syntax(error: yaml.MarkedYAMLError, text: str, place: tuple[int, int]) -> str:
    what = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    line = text.split("\n")[place[0]] if text.count("\n") >= place[0] else ""
    hint = "; indent with spaces, not tabs" if "\t" in line[: len(line) - len(line.lstrip()) or 1] else ""
    return f"not YAML: {what}{hint}"


def _start(event: yaml.Event) -> tuple[int, int]:
    return (event.start_mark.line, event.start_mark.column) if event.start_mark else (0, 0)


def _end(event: yaml.Event) -> tuple[int, int]:
    return (event.end_mark.line, event.end_mark.column) if event.end_mark else (0, 0)


class _Builder:
    """Takes parser events in order and builds the tree. No recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.found: list[tuple[tuple[int, int], str]] = []
        self._stack: list[tuple[Node, str | None]] = []
        self._keys: list[tuple[str, tuple[int, int]] | None] = []
        self._anchors: dict[str, Node | None] = {}
        self._documents = 0
        self._values = 0
        self._last = (0, 0)

    def too_deep(self, text: str, otherwise: tuple[int, int]) -> tuple[int, int]:
        """Return where brackets behind the last event are first too deep, as far as brackets alone tell."""
        depth = len(self._stack)
        first, column = self._last
        for line, words in enumerate(text.split("\n")[first:], first):
            for at in range(column if line == first else 0, len(words)):
                if words[at] in "[{":
                    if depth >= MAX_DEPTH:
                        return line, at
                    depth += 1
                elif words[at] in "]}":
                    depth -= 1
        return otherwise

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        self._last = _end(event)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _Refused("a second document begins here; a workflow file has one", _start(event))

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1][0].value, dict) and self._keys[-1] is None

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._expects_key():
            if event.value == "<<" and event.implicit[0]:
                self.found.append((_start(event), "merge keys (`<<`) are not in this version; use an alias"))
            self._keys[-1] = (self._text(event), _start(event))
            return
        node = Node(self._resolve(event), _start(event), _end(event))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._put(node)

    def _text(self, event: yaml.ScalarEvent) -> str:
        """Return the text, pairs of `\\uXXXX` escapes joined as JSON joins them."""
        text = str(event.value)
        if not _SURROGATE.search(text):
            return text
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "\ufffd" in joined:
            self.found.append((_start(event), "a \\uXXXX escape stands for half a character"))
        return joined

    def _resolve(self, event: yaml.ScalarEvent) -> JsonValue:
        text, tag = self._text(event), event.tag
        if tag is None or tag == "!":
            return _plain(text) if event.implicit[0] and tag is None else text
        kind = _SCALAR_TAGS.get(tag)
        value: JsonValue = text if kind is str else _plain(text)
        if kind is None or not isinstance(value, kind):
            self._tag(tag, _start(event))
        return value

    def _tag(self, tag: str, mark: tuple[int, int]) -> None:
        shown = tag.replace(_CORE, "!!")[:40]
        self.found.append((mark, f"the tag `{shown}` is not allowed here; write the value without a tag"))

    def _alias(self, event: yaml.AliasEvent) -> None:
        if self._expects_key():
            raise _Refused("an alias can't be a key", _start(event))
        name = event.anchor or ""
        if name not in self._anchors:
            raise _Refused(f"not YAML: found undefined alias `{name[:40]}`", _start(event))
        node = self._anchors[name]
        if node is None:
            raise _Refused(f"the alias `{name[:40]}` stands inside itself", _start(event))
        copy = Node(
            node.value, _start(event), _end(event), node.children, node.keys, node.size, node.aliases + 1
        )
        copy.height = node.height
        self._put(copy, node.size)

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if self._expects_key():
            raise _Refused("a key must be text, not a mapping or a list", _start(event))
        if len(self._stack) >= MAX_DEPTH:
            raise _Refused(f"nested more than {MAX_DEPTH} levels deep", _start(event))
        if event.tag is not None and event.tag != "!" and event.tag not in _TREE_TAGS:
            self._tag(event.tag, _start(event))
        value: JsonValue = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append((Node(value, _start(event), _end(event)), event.anchor))
        self._keys.append(None)

    def _close(self, event: yaml.Event) -> None:
        node, anchor = self._stack.pop()
        self._keys.pop()
        node.end = _end(event)
        if anchor:
            self._anchors[anchor] = node
        self._put(node)

    def _put(self, node: Node, values: int = 1) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1][0]
        parent.size += node.size
        parent.aliases += node.aliases
        parent.height = max(parent.height, node.height + 1)
        self._values += values
        if self._values > MAX_VALUES:
            raise _Refused(f"the file has more than {MAX_VALUES:,} values", node.start)
        if node.aliases and sum(frame.aliases for frame, _ in self._stack) > MAX_ALIASES:
            raise _Refused(f"aliases unfold more than {MAX_ALIASES:,} times", node.start)
        if len(self._stack) + node.height > MAX_DEPTH:
            raise _Refused(f"nested more than {MAX_DEPTH} levels deep", node.start)
        if isinstance(parent.value, list):
            parent.children[len(parent.value)] = node
            parent.value.append(node.value)
        elif isinstance(parent.value, dict) and (entry := self._keys[-1]) is not None:
            self._keys[-1] = None
            self._entry(parent, parent.value, entry, node)

    def _entry(
        self, parent: Node, value: dict[str, JsonValue], entry: tuple[str, tuple[int, int]], node: Node
    ) -> None:
        key, mark = entry
        if key == "<<":
            return  # told already
        if key in value:
            first = parent.keys[key][0] + 1
            self.found.append((mark, f"the key `{key[:60]}` is here twice; the first is in line {first}"))
            return
        value[key] = node.value
        parent.keys[key] = mark
        parent.children[key] = node


def _plain(text: str) -> JsonValue:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) <= 400 and _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if len(text) <= 400 and _FLOAT.fullmatch(text) and abs(number := float(text)) != float("inf"):
        return number
    return text


def walk(
    value: JsonValue, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], JsonValue]]:
    """Yield every value inside `value`, itself first, with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, child in value.items():
            yield from walk(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from walk(child, (*path, index))
