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
    start = time.perf_counter()
    pieces, _ = split(text)
    assert len(pieces) == 20_000
    assert time.perf_counter() - start < 5
