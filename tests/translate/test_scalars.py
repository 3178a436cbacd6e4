"""Strings, numbers, conversions, JSON and literals: the value of each function."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate import translate

STRINGS: list[tuple[str, Any]] = [
    ("CONCAT('a', NULL)", None),
    ("CONCAT('a', 'b', 'c')", "abc"),
    ("'a' || 'b'", "ab"),
    ("SUBSTR('apple', 2)", "pple"),
    ("SUBSTR('apple', 2, 2)", "pp"),
    ("SUBSTR('apple', -2)", "le"),
    ("SUBSTR('apple', 0, 2)", "ap"),
    ("SUBSTR('apple', -9, 3)", "app"),
    ("SUBSTR('apple', 123)", ""),
    ("SUBSTR('apple', p, 2) FROM (SELECT -3 AS p)", "pl"),
    ("SUBSTR('apple', p, 2) FROM (SELECT 0 AS p)", "ap"),
    ("SAFE.SUBSTR('apple', 1, -1)", None),
    ("SUBSTR(b'apple', 2, 2)", b"pp"),
    ("LEFT('apple', 3) || RIGHT('apple', 2)", "apple"),
    ("LPAD('abc', 5)", "  abc"),
    ("LPAD('abc', 8, 'def')", "defdeabc"),
    ("RPAD('abc', 2)", "ab"),
    ("INSTR('banana', 'an')", 2),
    ("INSTR('banana', 'an', 1, 2)", 4),
    ("INSTR('banana', 'an', 3)", 4),
    ("INSTR('banana', 'an', -1, 1)", 4),
    ("INSTR('banana', 'an', -3)", 4),
    ("INSTR('helloooo', 'oo', 1, 2)", 6),
    ("INSTR('banana', 'x', 1, 2)", 0),
    ("STRPOS('foo@example.com', '@')", 4),
    ("SPLIT('b,c,d')", ["b", "c", "d"]),
    ("SPLIT('a-b', '-')[OFFSET(1)]", "b"),
    ("SPLIT('', '')", [""]),
    ("STARTS_WITH('bar', 'b') AND ENDS_WITH('bar', 'r')", True),
    ("TRIM('  a ') || TRIM('***b*', '*') || LTRIM('xxa', 'x') || RTRIM('bxx', 'x')", "abab"),
    ("INITCAP('hello world-everyone')", "Hello World-Everyone"),
    ("INITCAP('Apples1oranges2pears', '12')", "Apples1Oranges2Pears"),
    ("TRANSLATE('This is a cookie', 'sco', 'zku')", "Thiz iz a kuukie"),
    ("REVERSE('abc') || REPEAT('x', 2) || REPLACE('aXb', 'X', '-')", "cbaxxa-b"),
    ("UPPER('ab') || LOWER('CD')", "ABcd"),
    ("LENGTH('абв')", 3),
    ("BYTE_LENGTH('абв')", 6),
    ("LENGTH(b'\\x00\\xff')", 2),
    ("CHAR_LENGTH(k) FROM ds.t WHERE id = 1", 1),
    ("ASCII('a')", 97),
    ("UNICODE('')", 0),
    ("CHR(8364)", "€"),
    ("TO_CODE_POINTS('ab')", [97, 98]),
    ("CODE_POINTS_TO_STRING([65, 255])", "Aÿ"),
    ("CODE_POINTS_TO_BYTES([65, 98])", b"Ab"),
    ("EDIT_DISTANCE('abcdefg', 'a')", 6),
    ("EDIT_DISTANCE('abcdefg', 'a', max_distance => 2)", 2),
    ("CONTAINS_SUBSTR('The Blue House', 'blue')", True),
    ("NORMALIZE('e\\u0301') = 'é'", True),
    # regular expressions
    ("REGEXP_CONTAINS('foo@example.com', r'@[a-z]+\\.com$')", True),
    ("REGEXP_EXTRACT('foo@example.com', r'^[a-z]+')", "foo"),
    ("REGEXP_EXTRACT('foo@example.com', r'@([a-z]+)')", "example"),
    ("REGEXP_EXTRACT('foo', r'x+')", None),
    ("REGEXP_EXTRACT('ab12cd34', r'\\d+', 1, 2)", "34"),
    ("REGEXP_EXTRACT('ab12cd34', r'\\d+', 5)", "34"),
    ("REGEXP_EXTRACT('a(b', r'\\((.)')", "b"),
    ("REGEXP_EXTRACT('abc', r'(?:a)b')", "ab"),
    ("REGEXP_EXTRACT_ALL('a1b22', r'\\d+')", ["1", "22"]),
    ("REGEXP_EXTRACT_ALL('<a><b>', r'<(\\w)>')", ["a", "b"]),
    ("REGEXP_REPLACE('# Heading', r'^# ([a-zA-Z]+)', r'<h1>\\1</h1>')", "<h1>Heading</h1>"),
    ("REGEXP_REPLACE('a1b2', r'\\d', '')", "ab"),
    ("REGEXP_INSTR('ab@gmail.com', r'@[^.]*')", 3),
    ("REGEXP_INSTR('abc', r'x')", 0),
    ("'a_b' LIKE 'a\\\\_b'", True),
    ("'axb' LIKE 'a\\\\_b'", False),
    ("'axb' NOT LIKE 'a\\\\_b'", True),
    # hashes and encodings
    ("TO_HEX(MD5('Hello World'))", "b10a8db164e0754105b7a99be72e3fe5"),
    ("MD5('Hello World') = FROM_HEX('b10a8db164e0754105b7a99be72e3fe5')", True),
    ("TO_HEX(SHA1('a'))", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
    ("LENGTH(SHA256('a'))", 32),
    ("TO_HEX(b'\\x00\\xaB')", "00ab"),
    ("FROM_HEX('0AF')", b"\x00\xaf"),
    ("TO_BASE64(b'\\xff\\xe0')", "/+A="),
    ("FROM_BASE64('/+A=')", b"\xff\xe0"),
    ("SAFE_CONVERT_BYTES_TO_STRING(b'abc')", "abc"),
    ("FARM_FINGERPRINT('1footrue')", -1541654101129638711),
    ("FARM_FINGERPRINT(b'2applefalse')", 2794438866806483259),
    ("FARM_FINGERPRINT(CAST(NULL AS STRING))", None),
    ("LENGTH(GENERATE_UUID())", 36),
]
FORMATS: list[tuple[str, Any]] = [
    ("FORMAT('%d', 10)", "10"),
    ("FORMAT('|%10d|', 11)", "|        11|"),
    ("FORMAT('+%010d+', 12)", "+0000000012+"),
    ('FORMAT("%\'d", 123456789)', "123,456,789"),
    ("FORMAT('-%s-', 'abcd efg')", "-abcd efg-"),
    ("FORMAT('%f %E', 1.1, 2.2)", "1.100000 2.200000E+00"),
    ("FORMAT('%.2f%%', 12.345)", "12.35%"),
    ("FORMAT('%t', DATE '2015-09-01')", "2015-09-01"),
    ("FORMAT('%t', TIMESTAMP '2015-09-01 12:34:56 America/Los_Angeles')", "2015-09-01 19:34:56+00"),
    ("FORMAT('%t %t', 1.0, 5)", "1.0 5"),
    ("FORMAT('%T', 'it')", '"it"'),
    ("FORMAT('%T', DATE '2020-01-02')", 'DATE "2020-01-02"'),
    ("FORMAT('%t', NULL)", "NULL"),
    ("FORMAT('%d', NULL)", None),
    ("FORMAT('%-5s|%5s|%.2s', 'ab', 'cd', 'efg')", "ab   |   cd|ef"),
    ("FORMAT('%s', 'no % inside') || FORMAT('100%%')", "no % inside100%"),
    ("FORMAT('%x %X %o', 255, 255, 8)", "ff FF 10"),
    ("FORMAT('%d', x) FROM ds.t WHERE id = 1", "5"),
]
NUMBERS: list[tuple[str, Any]] = [
    ("CAST(2.5 AS INT64)", 3),
    ("CAST(-2.5 AS INT64)", -3),
    ("CAST(3.5 AS INT64)", 4),
    ("CAST(y AS INT64) FROM ds.t WHERE id = 2", 3),
    ("CAST(x AS INT64) FROM ds.t WHERE id = 2", 6),
    ("CAST('12' AS INT64) + CAST('0x1F' AS INT64)", 43),
    ("CAST(k AS INT64) FROM (SELECT '7' AS k)", 7),
    ("CAST(TRUE AS INT64)", 1),
    ("CAST(9007199254740993 AS INT64)", 9007199254740993),
    ("SAFE_CAST('a' AS INT64)", None),
    ("SAFE_CAST('2.5' AS INT64)", None),
    ("SAFE_CAST(2.5 AS INT64)", 3),
    ("SAFE_CAST('x' AS DATE)", None),
    ("CAST(1.0 AS STRING)", "1"),
    ("CAST(1.25 AS STRING)", "1.25"),
    ("CAST(y AS STRING) FROM (SELECT 3.0 AS y)", "3"),
    ("CAST(x AS STRING) FROM ds.t WHERE id = 1", "5"),
    ("CAST(TRUE AS STRING)", "true"),
    ("CAST('é' AS BYTES)", "é".encode()),
    ("CAST(b'abc' AS STRING)", "abc"),
    ("CAST(1.5 AS NUMERIC)", decimal.Decimal("1.5")),
    ("CAST('1.25' AS BIGNUMERIC)", decimal.Decimal("1.25")),
    ("CAST('2.5' AS FLOAT64)", 2.5),
    ("CAST('true' AS BOOL)", True),
    ("7 / 2", 3.5),
    ("1 / 3", 1 / 3),
    ("x / 2 FROM ds.t WHERE id = 1", 2.5),
    ("0.1 + 0.2", 0.1 + 0.2),
    ("DIV(-7, 2)", -3),
    ("DIV(7, x) FROM ds.t WHERE id = 1", 1),
    ("MOD(-7, 3)", -1),
    ("MOD(7, -3)", 1),
    ("SAFE_DIVIDE(1, 0)", None),
    ("SAFE_DIVIDE(6, 4)", 1.5),
    ("IEEE_DIVIDE(1, 0)", math.inf),
    ("IS_NAN(IEEE_DIVIDE(0, 0))", True),
    ("ROUND(2.5)", 3.0),
    ("ROUND(-2.5)", -3.0),
    ("ROUND(2.675, 1)", 2.7),
    ("ROUND(1234.5, -2)", 1200.0),
    ("TRUNC(2.8)", 2.0),
    ("TRUNC(-2.8)", -2.0),
    ("TRUNC(2.87, 1)", 2.8),
    ("CEIL(2.1) + FLOOR(2.9)", 5.0),
    ("LOG(8, 2)", 3.0),
    ("LOG(EXP(2))", 2.0),
    ("LN(1) + LOG10(100)", 2.0),
    ("POW(2, 10) + POWER(2, 1) + SQRT(16)", 1030.0),
    ("SIGN(-5)", -1),
    ("ABS(-5)", 5),
    ("GREATEST(1, NULL, 3)", None),
    ("GREATEST(1, 3, 2) + LEAST(1, 3, 2)", 4),
    ("GREATEST(x, y) FROM ds.t WHERE id = 3", None),
    ("RANGE_BUCKET(20, [0, 10, 20, 30, 40])", 3),
    ("RANGE_BUCKET(-1, [0, 10])", 0),
    ("RANGE_BUCKET(NULL, [0, 10])", None),
    ("SAFE_ADD(9223372036854775807, 1)", None),
    ("SAFE_MULTIPLY(3, 4) + SAFE_SUBTRACT(3, 4) + SAFE_NEGATE(5)", 6),
    ("SAFE.LN(0)", None),
    ("SAFE.PARSE_DATE('%Y', 'x')", None),
    ("BIT_COUNT(255)", 8),
    ("5 ^ 1", 4),
    ("5 & 4 | 2", 6),
    ("1 << 4 >> 2", 4),
    ("~0", -1),
    ("IF(1 > 2, 'a', 'b')", "b"),
    ("IF(NULL, 'a', 'b')", "b"),
    ("IFNULL(NULL, 5)", 5),
    ("COALESCE(NULL, NULL, 'c')", "c"),
    ("NULLIF(3, 3)", None),
    ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END", "b"),
    ("2000000000 * 2", 4000000000),
    ("CASE WHEN TRUE THEN 2000000000 END * 2", 4000000000),
    ("0x1F + 1", 32),
    ("-9223372036854775808", -9223372036854775808),
    ("COSINE_DISTANCE([1.0, 0.0], [0.0, 1.0])", 1.0),
    ("EUCLIDEAN_DISTANCE([0.0, 0.0], [3.0, 4.0])", 5.0),
    ("RAND() BETWEEN 0 AND 1", True),
]
JSON: list[tuple[str, Any]] = [
    ("""JSON_VALUE('{"a": {"b": [1, 2]}}', '$.a.b[0]')""", "1"),
    ("""JSON_VALUE('{"a": [1]}', '$.a')""", None),
    ("""JSON_VALUE('{"a.b": "x"}', '$."a.b"')""", "x"),
    ("""JSON_EXTRACT_SCALAR('{"a.b": "x"}', "$['a.b']")""", "x"),
    ("""JSON_QUERY('{"a": {"b": 1}}', '$.a')""", '{"b":1}'),
    ("""JSON_EXTRACT('{"a": [1, 2]}', '$.a[1]')""", "2"),
    ("""JSON_VALUE('{broken', '$.a')""", None),
    ("""JSON_VALUE('{"a": null}', '$.a')""", None),
    ("""JSON_EXTRACT_ARRAY('{"a": [1, 2]}', '$.a')""", ["1", "2"]),
    ("""JSON_VALUE_ARRAY('{"a": ["x", "y"]}', '$.a')""", ["x", "y"]),
    ("""JSON_VALUE_ARRAY('{"a": "x"}', '$.a')""", None),
    ("TO_JSON_STRING(STRUCT(1 AS a, 'x' AS b, [1, 2] AS c))", '{"a":1,"b":"x","c":[1,2]}'),
    ("""INT64(JSON '{"a": 5}'['a']) + 1""", 6),
    ("""STRING(PARSE_JSON('"x"'))""", "x"),
    ("""JSON_TYPE(JSON '[1]')""", "array"),
    ("""LAX_INT64(JSON '"12"')""", 12),
    ("JSON_VALUE(JSON_OBJECT('k', 5), '$.k')", "5"),
]
LITERALS: list[tuple[str, Any]] = [
    (r"r'\d+'", r"\d+"),
    (r"'a\nb\x41\u00e9'", "a\nbAé"),
    ("'''it's \"three\"'''", 'it\'s "three"'),
    ('"""a\nb"""', "a\nb"),
    (r"b'a\x00\xff'", b"a\x00\xff"),
    (r"rb'\d'", rb"\d"),
    (r"b'é\xff\101'", "é".encode() + b"\xffA"),
    (r"'\\d \101 \t|\U0001F600'", "\\d A \t|\U0001f600"),
    (r"'it\'s \"so\"'", 'it\'s "so"'),
    (r'BR"\d"', rb"\d"),
    ("0xFF", 255),
    ("1e3", 1000.0),
    (".5 + 1.", 1.5),
    ("DATE '2020-1-5' = '2020-01-05'", True),
    ("1 -- a comment\n + 1 # another\n /* and one more */ + 1", 3),
]


@pytest.mark.parametrize("expression, expected", [*STRINGS, *FORMATS, *NUMBERS, *JSON, *LITERALS])
def test_value(value: Callable[[str], Any], expression: str, expected: Any) -> None:
    found = value(expression)
    if isinstance(expected, float) and not math.isinf(expected):
        assert found == pytest.approx(expected, rel=1e-14)
        assert isinstance(found, float)
    else:
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(text=st.text("abé", max_size=6), start=st.integers(-8, 8), count=st.integers(0, 8))
def test_substr_against_python(database: Any, text: str, start: int, count: int) -> None:
    begin = max(start, 1) - 1 if start >= 0 else max(len(text) + start, 0)
    for form in (str(start), "p"):
        sql = translate(f"SELECT SUBSTR('{text}', {form}, {count}) FROM (SELECT {start} AS p)")
        assert database.cursor().execute(sql).fetchall() == [(text[begin : begin + count],)]


@settings(max_examples=60, deadline=None)
@given(
    text=st.text("ab", max_size=8),
    part=st.text("ab", min_size=1, max_size=2),
    start=st.integers(-8, 8).filter(bool),
    nth=st.integers(1, 3),
)
def test_instr_against_python(database: Any, text: str, part: str, start: int, nth: int) -> None:
    hits = [i + 1 for i in range(len(text)) if text.startswith(part, i)]
    if start > 0:
        found = [h for h in hits if h >= start]
    else:
        found = [h for h in reversed(hits) if h <= len(text) + start + 1]
    sql = translate(f"SELECT INSTR('{text}', '{part}', {start}, {nth})")
    assert database.cursor().execute(sql).fetchall() == [(found[nth - 1] if len(found) >= nth else 0,)]


@pytest.mark.parametrize(
    "expression, message",
    [
        ("1 / 0", "division by zero"),
        ("MOD(5, 0)", "division by zero"),
        ("5 / x FROM (SELECT 0 AS x)", "division by zero"),
        ("CAST('2.5' AS INT64)", "not a whole number"),
        ("LN(0)", "LN must be positive"),
        ("SQRT(-1)", "SQRT must be not negative"),
        ("ERROR('stop here')", "stop here"),
        ("SUBSTR('a', 1, -1)", "must not be negative"),
    ],
)
def test_errors_at_run_time(value: Callable[[str], Any], expression: str, message: str) -> None:
    with pytest.raises(duckdb.Error, match=message):
        value(expression)


@pytest.mark.parametrize(
    "expression, type_name",
    [
        ("1", "BIGINT"),
        ("-1", "BIGINT"),
        ("1 + 1", "BIGINT"),
        ("2.5", "DOUBLE"),
        ("SUM(x) FROM ds.t", "BIGINT"),
        ("SUM(y) FROM ds.t", "DOUBLE"),
        ("SUM(x) OVER () FROM ds.t", "BIGINT"),
        ("SUM(IF(x > 5, 1, 0)) FROM ds.t", "BIGINT"),
        ("COUNTIF(x > 5) FROM ds.t", "BIGINT"),
        ("COUNT(*) FROM ds.t", "BIGINT"),
        ("AVG(x) FROM ds.t", "DOUBLE"),
        ("IF(TRUE, 1, 2)", "BIGINT"),
        ("COALESCE(NULL, 1)", "BIGINT"),
        ("[1, 2]", "BIGINT[]"),
        ("STRUCT(1 AS a)", "STRUCT(a BIGINT)"),
        ("EXTRACT(YEAR FROM DATE '2020-01-01')", "BIGINT"),
        ("BIT_COUNT(1)", "BIGINT"),
        ("SIGN(5)", "BIGINT"),
        ("MD5('a')", "BLOB"),
        ("CAST(NULL AS NUMERIC)", "DECIMAL(38,9)"),
        ("CAST(NULL AS ARRAY<STRUCT<a INT64, b ARRAY<STRING>>>)", "STRUCT(a BIGINT, b VARCHAR[])[]"),
    ],
)
def test_types(columns: Callable[[str], list[tuple[str, str]]], expression: str, type_name: str) -> None:
    [(_, found)] = columns(f"SELECT {expression}")
    assert found == type_name


@pytest.mark.parametrize(
    "sql, error, message",
    [
        ("SELECT ST_AREA(x)", NotSupportedError, "ST_AREA is not available"),
        ("SELECT NET.HOST('a')", NotSupportedError, "NET.HOST is not available"),
        ("SELECT HLL_COUNT.INIT(x) FROM t", NotSupportedError, "HLL_COUNT.INIT is not available"),
        ("SELECT CAST(x AS RANGE<DATE>) FROM t", NotSupportedError, "RANGE<DATE> is not available"),
        ("SELECT FORMAT(f, 1) FROM t", NotSupportedError, "must be a string that is written out"),
        ("SELECT FORMAT('%d')", ParseError, "one argument for each specifier"),
        ("SELECT FORMAT('%d', 1, 2)", ParseError, "one argument for each specifier"),
        ("SELECT REVERSE(b'ab')", NotSupportedError, "REVERSE of BYTES"),
        ("SELECT SPLIT()", ParseError, "SPLIT must have 1 to 2 arguments. Got 0"),
        ("SELECT LOWER(x AS y) FROM t", ParseError, "AS must not stand"),
    ],
)
def test_refused(sql: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        translate(sql)


def test_an_unknown_function_is_left_to_duckdb(value: Callable[[str], Any]) -> None:
    assert value("list_product([2, 3, 4])") == 24
    with pytest.raises(duckdb.Error, match="no_such_function"):
        value("no_such_function(1)")
