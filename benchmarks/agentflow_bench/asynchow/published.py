"""What the paper measured, to stand beside what is measured here.

Table 2 in section 4.2 of Lin et al., "Graph-enhanced Large Language Models in Asynchronous Plan
Reasoning", ICML 2024 (PMLR 235), arXiv 2402.02805v2: the share of right answers on the asynchronous
questions, k = 3. Table 4 in appendix A.9, without filtered questions, differs by at most 0.008.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ACCURACY", "METHODS", "SOURCE", "column_of", "paper_lines", "paper_table"]

SOURCE = "Lin et al., ICML 2024, arXiv 2402.02805, Table 2"

METHODS = ("io", "cot", "few_shot(3)", "few_shot_cot(3)", "plag_explicit", "plag_bag")

ACCURACY: Mapping[str, tuple[float, ...]] = {
    "GPT-4": (0.130, 0.129, 0.107, 0.657, 0.730, 0.777),
    "GPT-3.5": (0.199, 0.224, 0.248, 0.226, 0.290, 0.355),
    "Command": (0.078, 0.015, 0.050, 0.078, 0.100, 0.050),
    "LLaMA-2-70B-chat": (0.039, 0.038, 0.053, 0.076, 0.101, 0.069),
    "Mistral-7B-Instruct": (0.078, 0.070, 0.098, 0.149, 0.161, 0.146),
}

_CARE = (
    "Its models answered the 1.6 thousand asynchronous questions; ours is the share of the asynchronous ones"
    " that were asked here. Its prompts for PLaG show three worked examples, those here none. By every"
    " method accuracy falls as graphs grow (section 5.1)."
)


def column_of(method: str) -> int | None:
    """Return which of the paper's columns a method is, None for one that the paper has not."""
    return METHODS.index(method) if method in METHODS else None


def paper_table(model: str, ours: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a page's section: `ours` is (right, asked) of the asynchronous questions by method."""
    more = [method for method in ours if method not in METHODS]
    head = [*METHODS, *more]
    own = [_share(*ours[method]) if method in ours else "" for method in head]
    rows = [
        [f"{model}, here", *own],
        *(
            [name, *(f"{share:.1%}" for share in shares), *("" for _ in more)]
            for name, shares in ACCURACY.items()
        ),
    ]
    return [
        "",
        "## Beside the paper's figures",
        "",
        f"Right answers to asynchronous questions; {SOURCE}. {_CARE}",
        "",
        "| model | " + " | ".join(head) + " |",
        "|---" * (len(head) + 1) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def paper_lines(methods: Mapping[str, object]) -> list[str]:
    """Return what the paper found by each of some methods, a line each; nothing for one that it has not."""
    lines = []
    for method in methods:
        if (column := column_of(method)) is not None:
            told = ", ".join(f"{name} {shares[column]:.1%}" for name, shares in ACCURACY.items())
            lines.append(f"  the paper, asynchronous, {method}: {told}")
    return [*lines, f"  ({SOURCE})"] if lines else []


def _share(right: int, asked: int) -> str:
    return f"{right / asked:.1%} of {asked}" if asked else "-"
