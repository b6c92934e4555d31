"""Pictures and pages of a tournament: valid, escaped, readable by eye and by ear."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.errors import UserError
from agentflow.tournament import Note, Quality, Standing, TournamentReport, Work
from agentflow.tournament.picture import cut, history_picture, rating_picture, title_of
from agentflow.tournament.report import Progress

SVG = "{http://www.w3.org/2000/svg}"
_NAMED = (
    "leek soup",
    '<b>potato</b> & "cream"',
    "x" * 500,
    "葱のスープ" * 30,
    "tab\tand\nline\x00\x1b[31m\ud800",
)


def standing(
    place: int, title: object = "soup", source: str = "given", why: str | None = None
) -> Standing[object]:
    quality = 2 - place / 10
    return Standing(f"i{place}", title, quality, quality - 0.5, quality + 0.7, place, source, (), why)


def drawn(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("count", [1, 2, 24, 200])
def test_each_item_has_a_row_with_its_mean_and_its_interval(count: int) -> None:
    root = drawn(rating_picture([standing(place) for place in range(count)]))
    rows = root.findall(f"{SVG}g")
    assert len(rows) == count
    for row in rows:
        bar, marker = row.find(f"{SVG}path"), row.find(f"{SVG}circle")
        assert bar is not None
        assert marker is not None
        low, high = map(float, re.findall(r"[\d.]+", bar.get("d", ""))[::2])
        assert low < float(marker.get("cx", "")) < high
    figures = texts(rows[0])
    assert figures == ["1.", "soup", "2.00 (1.50 to 2.70)", "0"]


def test_it_can_be_read_aloud() -> None:
    root = drawn(rating_picture([standing(0), standing(1)], title="Soups & stews"))
    title, told = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert told is not None
    assert (title.text, root.get("role")) == ("Soups & stews", "img")
    assert root.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
    assert told.text == (
        "2 items, best first. The best is soup, with a quality of 2.00, by 80% between 1.50 and 2.70."
    )
    assert "prefers-color-scheme:dark" in (root.findtext(f"{SVG}style") or "")


def test_texts_are_escaped_cut_and_in_one_line() -> None:
    root = drawn(rating_picture([standing(n, title, f"<{n}>/1") for n, title in enumerate(_NAMED)]))
    titles = [texts(row)[1] for row in root.findall(f"{SVG}g")]
    assert titles[:2] == ["leek soup", '<b>potato</b> & "cream"']
    assert titles[2] == "x" * 45 + "…"
    assert titles[3].endswith("…")
    assert len(titles[3]) == 23
    assert titles[4] == "tab and line [31m"


def test_where_an_item_comes_from_is_told_by_colour_shape_and_legend() -> None:
    sources = ["given", "generate/3", "generate/8", "evolve/1", "person"]
    root = drawn(rating_picture([standing(n, "soup", source) for n, source in enumerate(sources)]))
    legend = texts(root)[1:5]
    assert legend == ["given", "generate", "evolve", "person"]
    rows = root.findall(f"{SVG}g")
    shapes = [row[5].tag.removeprefix(SVG) + str(row[5].get("class")) for row in rows]
    assert shapes == ["circlep s0", "rectp s1", "rectp s1", "pathp s2", "pathp s3"]
    many = drawn(rating_picture([standing(n, "soup", f"agent {n}") for n in range(12)]))
    assert texts(many)[8] == "others"


def test_the_withdrawn_stand_below_struck_out_and_say_why() -> None:
    gone = standing(1, "hemlock", why="it is poisonous")
    root = drawn(rating_picture([gone, standing(1), standing(2)], k=1))
    last = root.findall(f"{SVG}g")[-1]
    assert (last.get("class"), texts(last)[:2]) == ("o", ["", "hemlock"])
    assert "withdrawn: it is poisonous" in (last.findtext(f"{SVG}title") or "")
    assert sum(each.get("class") == "k" for each in root.iter(f"{SVG}path")) == 1


def test_who_was_withdrawn_before_a_match_has_no_quality() -> None:
    gone = standing(0, "hemlock", why="it is poisonous")
    row = drawn(rating_picture([standing(1), gone])).findall(f"{SVG}g")[-1]
    assert texts(row)[1:] == ["hemlock", "never played", "0"]
    assert row.find(f"{SVG}path") is None


def test_beyond_the_most_rows_it_says_how_many_there_are() -> None:
    root = drawn(rating_picture([standing(place) for place in range(230)]))
    assert len(root.findall(f"{SVG}g")) == 200
    assert texts(root)[-1] == "and 30 more"


def test_how_it_went_is_drawn_in_tenths() -> None:
    history = [Progress(n, 5, n / 100, n / 200) for n in range(1, 101)]
    root = drawn(history_picture(history))
    lines = list(root.iter(f"{SVG}polyline"))
    assert [len((line.get("points") or "").split()) for line in lines] == [11, 11]
    assert "After 100 matches the best quality is 1.00 and the mean of the best ten 0.50" in (
        root.findtext(f"{SVG}desc") or ""
    )
    every = drawn(history_picture(history, parts=None))
    assert len((next(every.iter(f"{SVG}polyline")).get("points") or "").split()) == 100
    drawn(history_picture(history[:1]))


def test_nothing_to_draw_is_told() -> None:
    with pytest.raises(UserError, match="the ranking is empty"):
        rating_picture([])
    with pytest.raises(UserError, match="no match has been judged"):
        history_picture([])


def test_what_an_item_is_called() -> None:
    @dataclass
    class Soup:
        text: str
        salt: int = 1

    assert title_of("two\nlines") == "two lines"
    assert title_of(Soup("leek")) == "leek"
    assert title_of({"title": " ", "salt": 2}) == '{"title": " ", "salt": 2}'
    assert title_of(7) == "7"
    assert cut("soup", 4) == "soup"
    assert cut("soups", 4) == "sou…"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(), st.floats(), st.floats(), st.floats(), st.text(), st.none() | st.text()),
        min_size=1,
        max_size=8,
    ),
    st.text(),
)
def test_whatever_is_in_it_it_is_valid(
    rows: list[tuple[str, float, float, float, str, str | None]], title: str
) -> None:
    standings = [Standing(str(n), *row[:4], n, row[4], (), row[5]) for n, row in enumerate(rows)]
    root = drawn(rating_picture(standings, title=title))
    assert len(root.findall(f"{SVG}g")) == len(rows)
    drawn(
        history_picture(
            [Progress(1, 1, 0.0, 0.0), *(Progress(n + 2, 1, r[1], r[2]) for n, r in enumerate(rows))]
        )
    )


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    """Two pictures in one page; the colour of a mark is that of its own picture."""
    page = tmp_path / "page.html"
    first = rating_picture([standing(n, "soup", f"a{n}") for n in range(3)])
    second = history_picture([Progress(1, 1, 0.0, 0.0), Progress(9, 1, 1.0, 0.5)])
    look = (
        "<script>document.title=[...document.querySelectorAll('g .p, polyline')]"
        ".map(e=>getComputedStyle(e)[e.tagName=='polyline'?'stroke':'fill']).join(' ')</script>"
    )
    page.write_text(f"<!doctype html><body>{first}{second}{look}</body>", encoding="utf-8")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    titled = re.search(r"<title>(rgb.*?)</title>", done.stdout)
    assert titled is not None, done.stderr[-500:]
    blue, orange, green = "rgb(31, 111, 235)", "rgb(188, 76, 0)", "rgb(26, 127, 55)"
    assert titled[1] == f"{blue} {orange} {green} {blue} {orange}"


@pytest.fixture
def report() -> TournamentReport[object]:
    gone = standing(3, "hemlock", why="it is poisonous | really")
    best = standing(0, "a <soup> | with leek")
    best = replace(best, rank=1, notes=(Note("critic", "<b>salty</b>"),))
    return TournamentReport(
        "soup & stew",
        [best, replace(standing(1, {"title": "plain", "salt": 1}), rank=2)],
        "unsafe",
        0.5,
        (0.2, 0.1),
        {},
        judged=7,
        withdrawn=[gone],
        work={"match": Work("match", 7), "cook": Work("make", 2, 30, made=[Quality(0, 1, 1)])},
        faults={"cook": "EndpointUnavailable: down"},
        advice={"critic": "less salt", "expert": ""},
        history=[Progress(1, 2, 0.0, 0.0), Progress(7, 2, 1.0, 0.5)],
        halted="too hot",
    )


def test_a_report_is_a_page_in_which_what_items_say_is_text(report: TournamentReport[object]) -> None:
    page = report.as_html(k=1)
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 2
    assert "a &lt;soup&gt; | with leek" in page
    assert "&lt;b&gt;salty&lt;/b&gt;" in page
    assert "<soup>" not in page
    for told in ("unsafe: too hot", "2 calls, 30 tokens, 1 items", "less salt", "EndpointUnavailable: down"):
        assert told in page


def test_a_report_is_markdown_too(report: TournamentReport[object]) -> None:
    lines = report.as_markdown().splitlines()
    assert lines[0] == "# soup & stew"
    assert "| 1 | a \\<soup> \\| with leek | 2.00 | 1.50 to 2.70 | 0 | given |" in lines
    assert "|  | ~~hemlock~~ (it is poisonous \\| really) | 1.70 | 1.20 to 2.40 | 3 | given |" in lines
    assert "title: plain" in lines
    assert "- critic: \\<b>salty\\</b>" in lines


def test_a_report_of_nothing_is_a_page_too() -> None:
    nothing: TournamentReport[object] = TournamentReport("soup", [], "no pairs", 1.0, (0.0, 1.0), {})
    assert "<svg" not in nothing.as_html()
    assert "no pairs" in nothing.as_markdown()
