"""Reviews: rounds of reviewers over a table of records, row by row.

```python
import asyncio

from agentflow import Runtime
from agentflow.review import Record, ReviewRounds, Round, disagreement, title_abstract
from agentflow.testing import FakeEndpoint

def answer(request):
    sure = "soup" in request.messages[-1].text
    return '{"reasoning": "It says so.", "score": %d}' % (5 if sure else 1)

strict = FakeEndpoint(lambda request: '{"reasoning": "I doubt it.", "score": 2}')
first = [title_abstract(name, FakeEndpoint(answer), include="About soup.") for name in ("ann", "ben")]
review = ReviewRounds([
    Round("screening", [*first, title_abstract("cid", strict, include="About soup.")]),
    Round("senior", [title_abstract("dot", FakeEndpoint(answer), include="About soup.")],
          when=disagreement("screening"), sees_votes=True),
])
records = [Record("a", {"title": "Leek soup"}), Record("b", {"title": "Bread"})]

async def main() -> None:
    async with Runtime() as runtime:
        report = (await runtime.run(review, records)).output
    assert [row.record.id for row in report.entered("senior")] == ["a"]     # only what is disputed
    assert report.spent["senior/dot"].looks == 1

asyncio.run(main())
```
"""

from __future__ import annotations

from agentflow.review.conditions import When, decided, decision_of, disagreement, score_of, scored
from agentflow.review.records import Record, read_records
from agentflow.review.report import ReviewFailed, ReviewReport, Row, Spent
from agentflow.review.reviewer import (
    Example,
    Reviewer,
    Screening,
    abstraction,
    decision,
    scoring,
    title_abstract,
)
from agentflow.review.rounds import OnFault, ReviewRounds, Round

__all__ = [
    "Example",
    "OnFault",
    "Record",
    "ReviewFailed",
    "ReviewReport",
    "ReviewRounds",
    "Reviewer",
    "Round",
    "Row",
    "Screening",
    "Spent",
    "When",
    "abstraction",
    "decided",
    "decision",
    "decision_of",
    "disagreement",
    "read_records",
    "score_of",
    "scored",
    "scoring",
    "title_abstract",
]
