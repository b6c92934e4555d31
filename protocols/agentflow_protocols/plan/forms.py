"""The forms in which a plan's graph is written: lists, a matrix, compressed rows of it.

START comes before every step that waits for nothing, END after every step that nothing waits for. A
matrix and compressed rows are in the order 1 to n, END, START, which a line names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from agentflow_protocols.plan.matrix import encode_csr, encode_matrix, parse_csr, parse_matrix
from agentflow_protocols.plan.sentences import sentence
from agentflow_protocols.plan.text import END, START, PlanFault, PlanText, PlanTextError, Refs, clip

__all__ = ["FORMS", "Edges", "Form", "encode_graph", "form_in", "names_of", "parse_graph"]

Form: TypeAlias = Literal["adjacency_list", "adjacency_matrix", "csr", "edge_list"]
FORMS: tuple[Form, ...] = get_args(Form)
Edges: TypeAlias = list[tuple[str, str]]

_ITEM = r"[\"'`]?(?:(?:steps?|task|node)[ #]{1,3})?(\w{1,100}(?:-\w{1,100}){0,20})[\"'`]?"
_NAME = re.compile(_ITEM, re.IGNORECASE | re.ASCII)
_PAIR = re.compile(rf"[(\[] ?{_ITEM} ?(?:,|-{{1,9}}>|→|={{1,9}}>) ?{_ITEM} ?[)\]]", re.IGNORECASE | re.ASCII)
_ENTRY = re.compile(rf"{_ITEM} ?: ?[\[({{]([^\[\](){{}}]*)[\])}}]", re.IGNORECASE | re.ASCII)
_ARROW = re.compile(r"(<-{1,9}|<={1,9}|←)|-{1,9}>|={1,9}>|→|⟶")
_NUMBERING = re.compile(r"(?:[>*•+–-]\s)*(?:\d{1,6}[.)]\s(?=.*(?:[(\[]|->|=>|→|,)))?\s?")
_NONE = re.compile(r"[-–—∅. ]*|none\.?|nothing\.?|n/?a\.?|-", re.IGNORECASE)
_ROWS = re.compile(
    r"^[ \t]*\|?[ \t]*(?:[\w\"']{1,100}[ \t]?[:|])?[ \t\[]*[01](?:[ ,\t|]+[01](?!\w)){2,}", re.MULTILINE
)
_BRACKETED = re.compile(r"\[ ?[01](?:, ?[01]){2,} ?\]")
_SPLIT = re.compile(r"[,;&]| and |(?<=\d) (?=(?:\d|START\b|END\b))|(?<=START) (?=\d)")
_BEFORE_NUMBER = re.compile(r"\b(?:steps?|task|node)[ #]{1,3}(?=\d)", re.IGNORECASE)
_SHORT = 250
_TITLE = re.compile(
    r"[\s#*>_-]{0,9}(?:dependency |task |the )?(?:graph|edges|edge list|adjacency list)\b"
    r"(?: \([^()\n]{0,40}\))?:?[\s*_]{0,9}",
    re.IGNORECASE,
)
_REMARK = re.compile(r"[#(=:]")
_OF_A_PATH = re.compile(
    r"\b(?:path|order|sequence|schedule|longest|critical|total|time|answer)\b", re.IGNORECASE
)
_HEADINGS = {"order", "nodes", "steps", "vertices", "path", "answer", "total", "columns", "values", "row_ptr",
             "edges", "graph", "plan", "note"}  # fmt: skip


def encode_graph(plan: PlanText, form: Form) -> str:
    """Return the graph of a plan in one of the forms."""
    if form == "adjacency_matrix":
        return encode_matrix(plan.names, plan.edges)
    if form == "csr":
        return encode_csr(plan.names, plan.edges)
    before, after = plan.before(), plan.after()
    first = [name for name in plan.names if not after[name]]
    rows = [(START, first), *((name, before[name] or [END]) for name in plan.names)]
    if form == "edge_list":
        return "\n".join(f"({name}, {later})" for name, laters in rows for later in laters)
    return "\n".join(f"{name}: {', '.join(laters)}" for name, laters in rows)


def parse_graph(text: str, names: Sequence[str], form: Form | None = None) -> Edges:
    """Return the edges (before, after) that a text states between the steps `names`.

    Without `form` it is seen from the text. Raises `PlanTextError`, with the lines that are wrong.
    """
    form = form or form_in(text)
    lines = text.splitlines()
    if form == "adjacency_matrix":
        return parse_matrix(lines, names)
    if form == "csr":
        return parse_csr(lines, names)
    refs = Refs(names)
    found: Edges = []
    wrong: list[PlanFault] = []
    heading, read = 0, False
    for number, line in enumerate(lines, 1):
        for befores, afters in _relations(line, refs):
            read = True
            _relate(befores, afters, refs, number, found, wrong)
        if not read and _TITLE.fullmatch(line):
            heading = number
    if heading and not read and len(names) > 1:
        wrong.append(PlanFault("nothing below is read as a graph; expected lines such as `1: 2, 3`", heading))
    if wrong:
        raise PlanTextError(*wrong)
    return found


def form_in(text: str) -> Form:
    """Return the form that a text seems to have; a list where nothing says otherwise."""
    if re.search(r"row[_ ]?(?:ptr|pointers?|offsets?)|indptr", text, re.IGNORECASE):
        return "csr"
    rows = _ROWS.findall(text) + _BRACKETED.findall(text)
    return "adjacency_matrix" if len(rows) > 2 else "adjacency_list"


def _relations(line: str, refs: Refs) -> list[tuple[list[str], list[str]]]:
    """Return what a line says, as lists of names before and lists of names after; nothing for prose."""
    line = " ".join(line.split())
    plain = line[numbering.end() :] if (numbering := _NUMBERING.match(line)) else line
    if entries := _entries(plain, refs):
        return entries
    if pairs := _PAIR.findall(plain):
        return [([one], [two]) for one, two in pairs]
    plain = plain.strip(" {},;$").rstrip(".").replace("\\rightarrow", "→").replace("\\to ", "→ ")
    if _ARROW.search(plain):
        pieces = re.split(r"[,;]", plain)
        if len(pieces) > 1 and all(_ARROW.search(piece) for piece in pieces):
            return [said for piece in pieces for said in _arrows(piece, refs)]
        return _arrows(plain, refs)
    if (two := _pair(plain, refs)) or (two := _sentence(plain, refs)):
        return two
    head, colon, rest = plain.partition(":")
    name = _NAME.fullmatch(head.strip(" *(["))
    if not colon or name is None or (name[1].lower() in _HEADINGS and name[1] not in refs.names):
        return []
    listed = names_of(rest)
    if listed is None:
        return []
    known = refs.find(name[1]) is not None
    if not known and not (listed and (name[1].isdigit() or all(refs.find(one) for one in listed))):
        return []
    return [([name[1]], listed)]


def _pair(plain: str, refs: Refs) -> list[tuple[list[str], list[str]]]:
    """Return what a line of two names alone says, `START, 1` or `(1 3)`."""
    names = plain.strip("()[] ").replace(",", " ").split() if len(plain) < _SHORT else []
    if len(names) != 2 or any(refs.find(name) is None for name in names):
        return []
    return [(names[:1], names[1:])]


def _sentence(plain: str, refs: Refs) -> list[tuple[list[str], list[str]]]:
    """Return what a sentence says that names steps alone, `Step 1 must precede step 3`."""
    said = sentence(plain)
    if said is None:
        return []
    firsts, seconds = (names_of(part) for part in said)
    if not firsts or not seconds or any(refs.find(name) is None for name in [*firsts, *seconds]):
        return []
    return [(firsts, seconds)]


def _entries(plain: str, refs: Refs) -> list[tuple[list[str], list[str]]]:
    """Return what the entries of a dictionary say, `"1": ["2", "3"]`."""
    found: list[tuple[list[str], list[str]]] = []
    for name, words in _ENTRY.findall(plain):
        listed = names_of(words)
        if listed is not None and (refs.find(name) or (name.isdigit() and listed)):
            found.append(([name], listed))
    return found


def _arrows(plain: str, refs: Refs) -> list[tuple[list[str], list[str]]]:
    """Return the relations of a line such as `1, 2 -> 3 -> 4`."""
    head, colon, rest = plain.partition(":")
    if colon and "->" not in head and "→" not in head and refs.find(head.strip(" *")) is None:
        if _OF_A_PATH.search(head):
            return []
        plain = rest
    parts: list[str] = []
    backs: list[bool] = []
    at = 0
    for arrow in _ARROW.finditer(plain):
        parts.append(plain[at : arrow.start()])
        backs.append(bool(arrow[1]))
        at = arrow.end()
    last = plain[at:]
    if "(" not in last[:2]:
        last = _REMARK.split(last, maxsplit=1)[0]
    groups = [names_of(part) for part in [*parts, last]]
    known = [group for group in groups if group and any(refs.find(one) for one in group)]
    if not known or any(group is None for group in groups):
        if groups[0] and all(refs.find(one) for one in groups[0]) and groups[-1] is None:
            return [(groups[0], [last.strip()])]
        return []
    found: list[tuple[list[str], list[str]]] = []
    for one, two, back in zip(groups, groups[1:], backs, strict=False):
        found.append((two or [], one or []) if back else (one or [], two or []))
    return found


def names_of(text: str) -> list[str] | None:
    """Return the names of a list such as `1, 2 and 3` or `["a", "b"]`; None when it is none."""
    text = text.strip(" ,;.[](){}*")
    if _NONE.fullmatch(text):
        return []
    found: list[str] = []
    for part in _SPLIT.split(_BEFORE_NUMBER.sub("", text)):
        part = part.strip(" [](){}*").removeprefix("and ")
        name = _NAME.fullmatch(part)
        if name is None:
            if not part:
                continue
            return None
        found.append(name[1])
    return found


def _relate(
    befores: Sequence[str],
    afters: Sequence[str],
    refs: Refs,
    line: int,
    found: Edges,
    wrong: list[PlanFault],
) -> None:
    """Add what a line says, or what is wrong with it."""
    known: list[list[str]] = []
    for group in (befores, afters):
        known.append([])
        for token in group:
            name = refs.find(token)
            if name is None:
                wrong.append(refs.unknown(token, line))
            else:
                known[-1].append(name)
    for one in known[0]:
        for two in known[1]:
            if one == END or two == START:
                where = "END comes after" if one == END else "START comes before"
                wrong.append(PlanFault(f"`{clip(one)} -> {clip(two)}`: {where} every step", line))
            elif one == two:
                wrong.append(PlanFault(f"step {one} can't wait for itself", line))
            elif one != START and two != END:
                found.append((one, two))
