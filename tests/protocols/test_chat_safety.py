"""What Gemini says of a reply's harm."""

from __future__ import annotations

import json

from agentflow_protocols.chat.gemini_reply import parse_content


def test_ratings_are_kept_by_category() -> None:
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}
    candidate = {
        "content": {"parts": [{"text": "Fine."}]},
        "finishReason": "STOP",
        "safetyRatings": [rating, {"category": "HARM_CATEGORY_X", "probability": "HIGH", "blocked": True}],
    }
    reply = parse_content(json.dumps({"candidates": [candidate]}).encode())
    assert reply.safety == {
        "HARM_CATEGORY_HARASSMENT": ("NEGLIGIBLE", False),
        "HARM_CATEGORY_X": ("HIGH", True),
    }
