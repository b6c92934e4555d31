"""What the paper measured, to stand beside what is measured here.

Table 2 in section 4.2 of Lin et al., "Graph-enhanced Large Language Models in Asynchronous Plan
Reasoning", ICML 2024 (PMLR 235), arXiv 2402.02805v2: the share of right answers on the asynchronous
questions, k = 3. Table 4 in appendix A.9, without filtered questions, differs by at most 0.008.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentflow_bench.trials import Published

__all__ = ["ACCURACY", "METHODS", "NOTE", "SOURCE", "published"]

SOURCE = "Lin et al., ICML 2024, arXiv 2402.02805, Table 2"

METHODS = ("io", "cot", "few_shot(3)", "few_shot_cot(3)", "plag_explicit", "plag_bag")

ACCURACY: Mapping[str, tuple[float, ...]] = {
    "GPT-4": (0.130, 0.129, 0.107, 0.657, 0.730, 0.777),
    "GPT-3.5": (0.199, 0.224, 0.248, 0.226, 0.290, 0.355),
    "Command": (0.078, 0.015, 0.050, 0.078, 0.100, 0.050),
    "LLaMA-2-70B-chat": (0.039, 0.038, 0.053, 0.076, 0.101, 0.069),
    "Mistral-7B-Instruct": (0.078, 0.070, 0.098, 0.149, 0.161, 0.146),
}

NOTE = (
    "An answer is right when it and the known one have a time in common, `exact` when they are the same."
    " Complexity is |V| + |E| of the question's graph, with START and END. The paper's models answered the"
    " 1.6 thousand asynchronous questions; its prompts for PLaG show three worked examples, those here"
    " none. By every method its accuracy falls as graphs grow (section 5.1)."
)


def published(method: str) -> list[Published]:
    """Return what the paper found by a method; nothing for one that it has not."""
    if method not in METHODS:
        return []
    column = METHODS.index(method)
    return [
        Published(f"{model}, {method}", SOURCE, by={"kind": {"asynchronous": shares[column]}})
        for model, shares in ACCURACY.items()
    ]
