"""Import files: accepted forms, and refusals that name line, row and column."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.import_file import COLUMNS, ImportRefused, measure, quoted, rows_of, unquoted
from app.cli.import_rejects import Reject, RejectsFile

HEADER = "external_id,provider,customer_ref,holder_name"


def written(folder: Path, content: str | bytes, name: str = "wallets.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fault_in(path: Path) -> str:
    """Why the file is refused, without its name."""
    with pytest.raises(ImportRefused) as refused:
        measure(path)
    place, _, said = str(refused.value).partition(": ")
    assert place == str(path)
    return said


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n\r\n  \n"], ids=["none", "one", "blank"])
def test_a_sound_file_is_read(tmp_path: Path, bom: bytes, end: bytes, last: bytes) -> None:
    lines = [HEADER, 'a,loanpro,1,"Kim ""K"" Larsen, Jr."', "", "b,aloha,2,Zo\u00eb"]
    path = written(tmp_path, bom + end.join(line.encode() for line in lines) + last)
    assert measure(path)[1] == 2
    assert list(rows_of(path)) == [
        {"external_id": "a", "provider": "loanpro", "customer_ref": "1", "holder_name": 'Kim "K" Larsen, Jr.'},
        {"external_id": "b", "provider": "aloha", "customer_ref": "2", "holder_name": "Zo\u00eb"},
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('a,loanpro,1,"Kim', "line 3, row 2, column 4 (holder_name): has no closing quote in its line"),
        ('"a,loanpro,1,Kim', "line 3, row 2, column 1 (external_id): has no closing quote in its line"),
        ('a,loanpro,"1"2,Kim', "line 3, row 2, column 3 (customer_ref): goes on after its closing quote"),
        ('a,loanpro,1,Kim"', "line 3, row 2, column 4 (holder_name): has a quote inside a field"),
        ('a,loanpro,1, "Kim"', "line 3, row 2, column 4 (holder_name): has a quote inside a field"),
        ("a,loanpro,1,Kim,", "line 3, row 2, column 5: has 5 fields but the header names 4"),
        ("a,loanpro,1", "line 3, row 2, column 4 (holder_name): has 3 fields"),
        ("a", "line 3, row 2, column 2 (provider): has 1 fields"),
        ("a,loanpro,1,K\x00im", "line 3, row 2, column 4 (holder_name): holds a control character"),
        ("a,loan\tpro,1,Kim", "line 3, row 2, column 2 (provider): holds a control character"),
        ('"a,b\x1f",loanpro,1,Kim', "line 3, row 2, column 1 (external_id): holds a control character"),
        ("a,loanpro,1\u2028,Kim", "line 3, row 2, column 3 (customer_ref): holds a control character"),
        ("\ufeffa,loanpro,1,Kim", "line 3, row 2, column 1 (external_id): holds a control character"),
        ("a,loanpro,1,Kim\ra,loanpro,1,Kim", "line 3, row 2, column 4 (holder_name): holds a carriage return"),
        (f"a,loanpro,{'1' * 256},Kim", "line 3, row 2, column 3 (customer_ref): is longer than 255 characters"),
        (f"a,loanpro,1,{'K' * 200_000}", "line 3, row 2, column 4: is longer than 65536 bytes"),
        (f'a,loanpro,"{"1" * 200_000}",K', "line 3, row 2, column 3: is longer than 65536 bytes"),
        (b"a,loanpro,1,Kim \xe9", "line 3, row 2, column 4 (holder_name): is not UTF-8"),
    ],
)
def test_a_damaged_row_is_named(tmp_path: Path, row: str | bytes, said: str) -> None:
    raw = row if isinstance(row, bytes) else row.encode()
    rest = b'\nc,loanpro,3,"Kim"\n'
    assert said in fault_in(written(tmp_path, f"{HEADER}\ngood,loanpro,1,Kim\n".encode() + raw + rest))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf\r\n\n", "the file is empty"),
        ("external_id,provider\na,loanpro\n", "line 1, the header: the file lacks the columns: customer_ref"),
        (f"{HEADER},provider\n", "line 1, the header, column 5 (provider): is named twice"),
        (f"{HEADER},pan\n", "line 1, the header, column 5: is not known"),
        ("a,loanpro,4111111111111111,Kim\n", "line 1, the header, column 1: is not known"),
        (HEADER.replace(",", ";") + "\n", "line 1, the header, column 1: is not known"),
        (f"{HEADER}\ra,loanpro,1,Kim\r", "line 1, the header, column 4: holds a carriage return"),
        (f"{HEADER}\n".encode("utf-16"), "line 1, the header: is not UTF-8"),
        (f"{HEADER}\n".encode("utf-16-le"), "line 1, the header, column 1: holds a control character"),
        ("x" * 100_000, "line 1, the header, column 1: is longer than"),
    ],
)
def test_a_file_that_begins_wrongly_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    found = fault_in(written(tmp_path, content))
    assert said in found
    assert "4111" not in found


GOOD = '{"external_id": "a", "provider": "loanpro", "customer_ref": 1001, "brand": null}'


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, f"\ufeff{GOOD}\r\n\n{GOOD}", "wallets.NDJSON")
    assert list(rows_of(path)) == [{"external_id": "a", "provider": "loanpro", "customer_ref": "1001"}] * 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 3, row 2: it is not valid JSON"),
        ("[1]", "line 3, row 2: is not a JSON object"),
        ("null", "line 3, row 2: is not a JSON object"),
        (GOOD + GOOD, "line 3, row 2: it is not valid JSON"),
        ("[" * 60_000, "line 3, row 2: it is nested too deeply"),
        ('{"external_id":' * 4_000, "line 3, row 2: it is nested too deeply"),
        ('{"external_id": "a", "external_id": "b"}', "line 3, row 2: an object has a duplicate key"),
        ('{"provider": "aloha", "external_id": {"a": 1}}', "line 3, row 2, column 2 (external_id): is neither text"),
        ('{"external_id": true}', "line 3, row 2, column 1 (external_id): is neither text"),
        ('{"external_id": 1.5}', "line 3, row 2, column 1 (external_id): is neither text"),
        ('{"external_id": NaN}', "line 3, row 2: it is not valid JSON"),
        ('{"external_id": "a", "4111111111111111": "a"}', "line 3, row 2, column 2: is not known"),
        ('{"external_id": "a\\u0000"}', "line 3, row 2, column 1 (external_id): holds a control character"),
        ('{"external_id": "a\\ud800"}', "line 3, row 2: it is not valid JSON"),
        ('{"external_id": "' + "a" * 256 + '"}', "line 3, row 2, column 1 (external_id): is longer than 255"),
        (b'{"external_id": "\xff"}', "line 3, row 2: is not UTF-8"),
    ],
)
def test_a_damaged_json_line_is_named(tmp_path: Path, line: str | bytes, said: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    found = fault_in(written(tmp_path, f"{GOOD}\n\n".encode() + raw + b"\n", "wallets.jsonl"))
    assert said in found
    assert "4111" not in found


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path, tmp_path / "missing.csv", tmp_path / "pipe.csv"):
        with pytest.raises(ImportRefused):
            measure(path)


@given(st.text(max_size=40))
def test_a_quoted_cell_is_read_back_as_it_was_and_is_no_formula(value: str) -> None:
    assert unquoted(quoted(value)) == value
    assert quoted(value)[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert quoted(value).lstrip()[:1] not in ("=", "+", "-", "@")


def test_rejects_are_read_back_as_the_rows_they_were(tmp_path: Path) -> None:
    values = dict.fromkeys(COLUMNS, "")
    values |= {
        "external_id": "=cmd|' /C calc'!A0",
        "provider": "loanpro",
        "customer_ref": "+4930",
        "holder_name": "'Kim",
    }
    source = written(tmp_path, HEADER)
    rejects = RejectsFile.beside(source, None, is_repeat=False)
    assert rejects.written is None
    rejects.write([])
    assert sorted(tmp_path.iterdir()) == [source]
    rejects.write([Reject(7, values, "NOT_FOUND", "-")])
    rejects.write([Reject(9, {**values, "caselle_processor_token": "t-1"}, "NOT_FOUND", "")])
    rejects.close()
    assert rejects.written is not None
    assert rejects.written.stat().st_mode & 0o077 == 0
    raw = rejects.written.read_text("utf-8")
    assert "t-1" not in raw
    assert not any(cell.startswith(("=", "+", "-", "@")) for line in raw.splitlines() for cell in line.split(","))
    withheld = {**values, "caselle_processor_token": "[put the token back]"}
    assert list(rows_of(rejects.written)) == [values, withheld]


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "dangling", "folder", "other"])
@pytest.mark.parametrize("is_repeat", [True, False])
def test_no_file_is_written_over(tmp_path: Path, kind: str, *, is_repeat: bool) -> None:
    source = written(tmp_path, HEADER)
    target = tmp_path / "out.csv"
    if kind == "same":
        target = tmp_path / "." / "x" / ".." / source.name
        (tmp_path / "x").mkdir()
    elif kind == "symlink":
        target.symlink_to(source)
    elif kind == "hard link":
        target.hardlink_to(source)
    elif kind == "dangling":
        target.symlink_to(tmp_path / "missing.csv")
    elif kind == "folder":
        target = tmp_path / "no" / "out.csv"
    else:
        target.write_text("mine")
    if kind == "other" and is_repeat:
        rejects = RejectsFile.beside(source, target, is_repeat=True)
        rejects.write([Reject(1, {}, "NOT_FOUND", "")])
        rejects.close()
        assert rejects.written == tmp_path / "out.2.csv"
    else:
        with pytest.raises(ImportRefused):
            RejectsFile.beside(source, target, is_repeat=is_repeat)
    assert source.read_text() == HEADER
    assert kind != "other" or target.read_text() == "mine"
