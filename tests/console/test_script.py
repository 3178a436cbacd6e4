"""Where statements begin and end."""

from __future__ import annotations

import pytest

from sqlml.console.script import is_complete, line_of, split, tokens

SCRIPT = """\
-- first; not a statement
SELECT ';', "a;b", '''x;
y''', r'\\d;', `a;b` ; # and; this
.mode csv
/* ; */ SELECT 2
  .5;
SELECT 3"""


def test_split() -> None:
    pieces, rest = split(SCRIPT)
    assert [p.text.split()[0] for p in pieces] == ["SELECT", ".mode", "SELECT"]
    assert [p.command for p in pieces] == [False, True, False]
    assert pieces[1].text == ".mode csv"
    assert pieces[2].text == "SELECT 2\n  .5"
    assert rest is not None
    assert rest.text == "SELECT 3"
    for piece in [*pieces, rest]:
        assert SCRIPT[piece.start :].startswith(piece.text)
    assert line_of(SCRIPT, rest.start) == 7


def test_tokens_are_the_text() -> None:
    assert "".join(token.text for token in tokens(SCRIPT)) == SCRIPT


@pytest.mark.parametrize(
    "text", ["SELECT 1;", ".help", "", "  \n", "SELECT ';';", "SELECT 1; -- done", "a;;", "SELECT 'it''s';"]
)
def test_complete(text: str) -> None:
    assert is_complete(text)


@pytest.mark.parametrize(
    "text", ["SELECT 1", "SELECT '''a;", "SELECT `a;", "SELECT 1; SELECT", "/* a;", "SELECT 1 -- ;"]
)
def test_incomplete(text: str) -> None:
    assert not is_complete(text)


def test_splitting_is_linear() -> None:
    import time

    text = "SELECT 'a', 1.5, x FROM t; " * 20_000
    start = time.process_time()
    pieces, _ = split(text)
    assert len(pieces) == 20_000
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "block",
    [
        "BEGIN SELECT 1; SELECT 2; EXCEPTION WHEN ERROR THEN SELECT 3; END",
        "IF x > 1 THEN SELECT 1; ELSEIF x THEN SELECT 2; ELSE SELECT IF(a, b, CASE WHEN c THEN 1 END); END IF",
        "LOOP SET x = x + 1; IF x > 3 THEN LEAVE; END IF; END LOOP",
        "WHILE x < 3 DO SELECT x; SET x = x + 1; END WHILE",
        "REPEAT SELECT 1; UNTIL TRUE END REPEAT",
        "FOR r IN (SELECT 1 AS a) DO SELECT r.a; END FOR",
        "CASE x WHEN 1 THEN SELECT 1; ELSE SELECT 2; END CASE",
        "outer_loop: LOOP BREAK outer_loop; END LOOP",
        "CREATE OR REPLACE PROCEDURE p(x INT64) BEGIN SELECT x; SELECT CASE WHEN x > 1 THEN 1 END; END",
    ],
)
def test_blocks_stay_whole(block: str) -> None:
    pieces, rest = split(f"SELECT 0; {block}; SELECT 9;")
    assert [piece.text for piece in pieces] == ["SELECT 0", block, "SELECT 9"]
    assert rest is None
    assert is_complete(f"{block};")
    assert not is_complete(block.rpartition("END")[0])


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN; SELECT 1; COMMIT",
        "BEGIN TRANSACTION; SELECT 1; COMMIT",
        "CREATE TABLE IF NOT EXISTS t (x INT64); DROP TABLE IF EXISTS t; SELECT 1",
        "SELECT CASE WHEN a THEN 1 END; SELECT IF(a, 1, 2); SELECT 1",
        "SELECT * FROM t FOR SYSTEM_TIME AS OF x; SELECT REPEAT('a', 2); SELECT 1",
    ],
)
def test_other_statements_end_at_their_semicolon(text: str) -> None:
    pieces, _ = split(text + ";")
    assert len(pieces) == 3


def test_a_script_of_variables_is_one() -> None:
    pieces, rest = split("DECLARE x INT64 DEFAULT 5;\nSET x = x + 1;\nSELECT x;")
    assert len(pieces) == 1
    assert rest is None
