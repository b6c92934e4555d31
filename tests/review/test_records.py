"""Records from files, as programs really write them: CSV, JSON Lines, RIS, PubMed's own format."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.errors import UserError
from agentflow.review import Record, read_records
from agentflow_protocols.chat import Json


def read(folder: Path, name: str, text: str | bytes, **more: str | None) -> list[Record]:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_records(file, **more)  # type: ignore[arg-type]


def only(folder: Path, text: str, name: str = "a.ris") -> dict[str, Json]:
    (record,) = read(folder, name, text)
    return dict(record.fields)


# RIS.


def test_a_record_of_a_ris_file(tmp_path: Path) -> None:
    text = """TY  - JOUR
TI  - Soup in the
  long run
AU  - Leek, A.
AU  - Pot, B.
AB  - We boil.
KW  - soup
PY  - 2024
ID  - one
ER  -

TY  - BOOK
T1  - Bread
ER  -
"""
    one, two = read(tmp_path, "a.ris", text)
    assert (one.id, one.title, two.id, two.title) == ("one", "Soup in the long run", "r2", "Bread")
    assert one.fields["authors"] == ["Leek, A.", "Pot, B."]
    assert one.as_text(["title", "authors", "year", "doi"]) == (
        "title: Soup in the long run\nauthors: Leek, A.; Pot, B.\nyear: 2024"
    )


def test_endnote_writes_keywords_a_line_each_and_ends_with_a_blank(tmp_path: Path) -> None:
    fields = only(
        tmp_path,
        "\ufeffTY  - JOUR\r\nAU  - Leek, A.\r\nKW  - Soup\r\nLeeks\r\nPots and pans\r\nPY  - 2021///\r\n"
        "AB  - First line\r\nsecond line.\r\n\r\nThird.\r\nID  - 17\r\nER  - \r\n\r\n\r\n",
    )
    assert fields["keywords"] == ["Soup", "Leeks", "Pots and pans"]
    assert fields["abstract"] == "First line second line. Third."
    assert (fields["year"], fields["PY"], fields["id"]) == ("2021", "2021///", "17")


def test_of_tags_for_the_same_thing_one_is_meant_and_none_is_lost(tmp_path: Path) -> None:
    fields = only(
        tmp_path,
        "TY  - JOUR\nJO  - J. Soup\nT2  - Journal of Soup\nAB  - We boil.\nN2  - We boil.\nTI  - Soup\n"
        "T1  - Soup\nPY  - 2020\nY1  - 2020/03/01/\nUR  - http://a\nUR  - http://b\nUR  - http://a\nER  - \n",
    )
    assert (fields["journal"], fields["JO"]) == ("Journal of Soup", "J. Soup")
    assert (fields["abstract"], fields["title"]) == ("We boil.", "Soup")
    assert (fields["year"], fields["Y1"]) == ("2020", "2020/03/01/")
    assert fields["url"] == "http://a; http://b"
    assert not {"N2", "T1", "T2", "PY"} & fields.keys()


def test_what_stands_between_records_is_no_part_of_them(tmp_path: Path) -> None:
    text = 'Provider: A press\nDatabase: B\nContent: text/plain; charset="UTF-8"\n\n\n'
    text += "TY - JOUR\nTI - One space alone\nER -\n\n2. \nTY  - JOUR\nTI  - Two\nER  - \n"
    assert [record.title for record in read(tmp_path, "a.RIS", text)] == ["One space alone", "Two"]


def test_pubmed_writes_no_ends(tmp_path: Path) -> None:
    text = """
PMID- 101
OWN - NLM
DP  - 2022 Mar 3
TI  - Soup in the
      long run.
LID - 10.1/soup [doi]
AB  - BACKGROUND: We boil.
      RESULTS: It is soup.
FAU - Leek, Ann
AU  - Leek A
FAU - Pot, Ben
AU  - Pot B
MH  - *Soup
OT  - leeks
AID - 10.1/soup [doi]
JT  - Journal of soup

PMID- 102
TI  - Bread.
"""
    for name in ("a.nbib", "a.ris"):
        one, two = read(tmp_path, name, text)
        assert (one.id, one.title, one.fields["year"]) == ("101", "Soup in the long run.", "2022")
        assert one.fields["authors"] == ["Leek, Ann", "Pot, Ben"]
        assert one.fields["abstract"] == "BACKGROUND: We boil. RESULTS: It is soup."
        assert (one.fields["doi"], one.fields["keywords"]) == ("10.1/soup", ["leeks"])
        assert (two.id, two.title) == ("102", "Bread.")


@given(
    st.lists(st.sampled_from(["TY  - JOUR", "TI  - a", "ER  - ", "ER  -", "x", "", " y", "PMID- 1", "1."]))
)
@settings(max_examples=150, deadline=None)
def test_any_lines_are_read_or_refused_with_their_place(lines: list[str]) -> None:
    from agentflow.review.ris import read_ris

    try:
        records = list(read_ris("a.ris", lines))
    except UserError as error:
        number = int(str(error).split(":")[1])
        assert 1 <= number <= len(lines)
    else:
        assert all(1 <= line <= len(lines) for line, _ in records)


# CSV.


def test_tables_of_spreadsheets(tmp_path: Path) -> None:
    text = '\ufeffid, title,,\r\nx,"Two\r\nlines, ""quoted""",,\r\n,Bread,,\r\n,,,\r\n\r\n   \r\n'
    one, two = read(tmp_path, "a.csv", text)
    assert (one.id, one.fields) == ("x", {"id": "x", "title": 'Two\r\nlines, "quoted"'})
    assert two.id == "r2"
    (record,) = read(tmp_path, "a.TSV", "id\ttitle\nä\tSoup\n".encode("utf-16"))
    assert (record.id, record.title) == ("ä", "Soup")
    (record,) = read(tmp_path, "a.csv", 'id;title\r\na;"Soup, thin; cold"\r\n')
    assert (record.id, record.title) == ("a", "Soup, thin; cold")
    (record,) = read(tmp_path, "a.csv", f"id,text\na,{'x' * 300_000}\n")
    assert len(str(record.fields["text"])) == 300_000


def test_columns_are_found_by_what_exporters_call_them(tmp_path: Path) -> None:
    text = "Key,Title,Abstract Note,Manual Tags,Publication Year\nK1,Soup,We boil.,leeks,2020\n"
    (record,) = read(tmp_path, "zotero.csv", text, id_field="Key")
    assert (record.id, record.title, record.get("year")) == ("K1", "Soup", "2020")
    assert (
        record.as_text(("title", "abstract", "keywords"))
        == "title: Soup\nabstract: We boil.\nkeywords: leeks"
    )


# JSON Lines.


def test_lines_of_json(tmp_path: Path) -> None:
    first, second = read(tmp_path, "a.jsonl", '{"id": 7, "title": "Soup", "tags": {"a": 1}}\n\n{}\n')
    assert (first.id, second.id, second.as_text()) == ("7", "r2", "(the record is empty)")
    text = json.dumps({"title": "One\u2028two\u0085three\x0cfour"}, ensure_ascii=False).replace("\\f", "\\f")
    (record,) = read(tmp_path, "a.jsonl", text + "\r\n")
    assert record.title == "One\u2028two\u0085three\x0cfour"


# Names.


def test_records_are_named_by_a_field_or_by_number(tmp_path: Path) -> None:
    text = "id,doi\n1,10.1/a\n1,10.1/b\n"
    assert [r.id for r in read(tmp_path, "a.csv", text, id_field="doi")] == ["10.1/a", "10.1/b"]
    assert [r.id for r in read(tmp_path, "a.csv", text, id_field=None)] == ["r1", "r2"]
    with pytest.raises(UserError, match=r"a\.csv:3: a second record has the id '1'; name another `id_field`"):
        read(tmp_path, "a.csv", text)
    with pytest.raises(UserError, match=r"no record has a field `dio` \(did you mean `doi`\?\)"):
        read(tmp_path, "a.csv", text, id_field="dio")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.txt", "x", "records are read from"),
        ("a.jsonl", "{", r"a\.jsonl:1: no JSON"),
        ("a.jsonl", "[]", "a record is a JSON object"),
        ("a.jsonl", '{"a": NaN}', "NaN is no number of JSON"),
        ("a.jsonl", '\n{"a": "\\ud83d"}', r"a\.jsonl:2: .*half a character"),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: no JSON"),
        ("a.jsonl", '{"id": 1}\n{"id": "1"}', r"a\.jsonl:2: a second record has the id '1'"),
        ("a.jsonl", "\n", "no records"),
        ("a.csv", "id,id\n1,2\n", "two columns have the same name, `id`"),
        ("a.csv", "id,title\n1\n", r"a\.csv:2: the row has not 2 cells"),
        ("a.csv", "id,title\n1,2,3\n", r"a\.csv:2: the row has not 2 cells"),
        ("a.csv", "id,\n1,2\n", r"a\.csv:2: the row has not 1 cells"),
        ("a.csv", 'id\n"1', "a.csv"),
        ("a.csv", "", "no records"),
        ("a.csv", b"id\n\xe9\n", r"it is not UTF-8 \(byte 3\); save it as UTF-8"),
        ("a.csv", b"\xff\xfei\x00d\x00\n", r"it is not UTF-16"),
        ("a.ris", "hello\n", r"a\.ris:1: no RIS"),
        ("a.ris", "TY  - JOUR\nER  - \nhello\n", r"a\.ris:3: no RIS"),
        ("a.ris", "TY  - JOUR\nTI  - x\n", r"a\.ris:1: the record is not closed"),
        ("a.ris", "TY  - JOUR\nTI  - x\n\nTY  - JOUR\n", r"a\.ris:4: a record begins before that of line 1"),
    ],
)
def test_files_that_hold_no_records(tmp_path: Path, name: str, text: str | bytes, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read(tmp_path, name, text)
    with pytest.raises(UserError, match="No such file"):
        read_records(tmp_path / "none.csv")


def test_many_thousand_records(tmp_path: Path) -> None:
    one = "TY  - JOUR\nTI  - Soup {n}\nAU  - Leek, A.\nAU  - Pot, B.\nAB  - We boil.\n  More.\nER  - \n\n"
    file = tmp_path / "a.ris"
    file.write_text("".join(one.replace("{n}", str(n)) for n in range(25_000)))
    began = time.process_time()
    records = read_records(file)
    seconds = time.process_time() - began
    assert (len(records), records[-1].title) == (25_000, "Soup 24999")
    assert seconds < 5
    wide = "TY  - JOUR\n" + "AU  - Leek, A.\n" * 50_000 + "AB  - x\n" + "more\n" * 50_000 + "ER  - \n"
    began = time.process_time()
    (record,) = read(tmp_path, "wide.ris", wide)
    assert len(record.fields["authors"]) == 50_000  # type: ignore[arg-type]
    assert time.process_time() - began < 10
