"""UNNEST beside a table: the flat form and the joined form give the same rows and names."""

from __future__ import annotations

from typing import Any

import pytest

import sqlml
from sqlml.translate import queries

TABLE = """
CREATE TABLE d.t AS
SELECT 1 AS id, 'p' AS label, [STRUCT('a' AS label, 0.5 AS prob, [1,2] AS inn), STRUCT('b', 0.25, [3])] AS probs, [10,20] AS nums, STRUCT(7 AS q, [STRUCT(1 AS z)] AS arr) AS s
UNION ALL SELECT 2, 'q', [STRUCT('c', 0.1, CAST([] AS ARRAY<INT64>))], [30], STRUCT(8, [STRUCT(2 AS z), STRUCT(3)])
UNION ALL SELECT 3, NULL, [], [], STRUCT(9, [])
UNION ALL SELECT 4, 'r', NULL, NULL, NULL"""
OTHER = "CREATE TABLE d.u AS SELECT 1 AS id, 'a' AS label UNION ALL SELECT 2, 'c'"
QUERIES = """
SELECT id, p.label, p.prob FROM d.t, UNNEST(probs) AS p ORDER BY 1,2
SELECT id, p.label AS l2, t.label FROM d.t AS t, UNNEST(t.probs) AS p ORDER BY 1,2
SELECT t.id, p FROM d.t AS t, UNNEST(t.probs) AS p ORDER BY t.id, p.label
SELECT t.id, x FROM d.t, UNNEST(nums) AS x ORDER BY 1, 2
SELECT id, x FROM d.t t, UNNEST(t.nums) x WHERE x > 10 ORDER BY x DESC
SELECT id, SUM(x) FROM d.t, UNNEST(nums) x GROUP BY id ORDER BY 1
SELECT x, COUNT(*) c FROM d.t, UNNEST(nums) x GROUP BY x HAVING COUNT(*) > 0 ORDER BY x
SELECT id, x, y FROM d.t, UNNEST(nums) x, UNNEST([1,2]) y ORDER BY 1,2,3
SELECT id, p.label, i FROM d.t, UNNEST(probs) p, UNNEST(p.inn) i ORDER BY 1,2,3
SELECT t.id, p.prob FROM d.t t, UNNEST(probs) p JOIN d.u u ON u.label = p.label ORDER BY 1
SELECT t.id, u.label FROM d.t t CROSS JOIN UNNEST(t.nums) n JOIN d.u u USING (id) ORDER BY 1,2
SELECT id, off, x FROM d.t, UNNEST(nums) x WITH OFFSET off ORDER BY 1,2
SELECT * FROM d.t, UNNEST(nums) x ORDER BY id, x
SELECT t.* FROM d.t, UNNEST(nums) x ORDER BY id, x
SELECT id, x.label AS label FROM (SELECT * FROM d.t WHERE id < 3) AS k, UNNEST(k.probs) AS x ORDER BY id, label
WITH c AS (SELECT * FROM d.t) SELECT id, p.prob * 2 AS d2 FROM c, UNNEST(probs) p WHERE p.label != 'b' ORDER BY id
SELECT id, (SELECT MAX(i) FROM UNNEST(p.inn) i) AS m FROM d.t, UNNEST(probs) p ORDER BY 1, 2
SELECT id, (SELECT COUNT(*) FROM d.u WHERE d.u.label = p.label) AS m FROM d.t, UNNEST(probs) p ORDER BY 1, 2
SELECT id, ROW_NUMBER() OVER (PARTITION BY id ORDER BY x DESC) r, x FROM d.t, UNNEST(nums) x QUALIFY r = 1 ORDER BY id
SELECT id, id2 FROM d.t, UNNEST(nums) id2 WHERE id = 1 ORDER BY 2
SELECT t.s.q, a.z FROM d.t, UNNEST(s.arr) a ORDER BY 1, 2
SELECT t.s.q, a.z FROM d.t t, UNNEST(t.s.arr) a ORDER BY 1, 2
SELECT label, prob FROM d.u, UNNEST([STRUCT(0.5 AS prob)]) ORDER BY 1
SELECT prob FROM d.t, UNNEST(probs) ORDER BY 1
SELECT id, label.prob FROM d.t, UNNEST(probs) AS label ORDER BY 1, 2
SELECT DISTINCT x FROM d.t, UNNEST(ARRAY(SELECT n + 1 FROM UNNEST(nums) n)) x ORDER BY 1
SELECT COUNT(*) FROM d.t, UNNEST(probs) p
SELECT COUNT(DISTINCT p.label), AVG(p.prob) FROM d.t, UNNEST(probs) AS p WHERE id IN (1,2)
SELECT id FROM d.t WHERE EXISTS (SELECT 1 FROM UNNEST(probs) p WHERE p.label = 'a')
SELECT id, x FROM d.t LEFT JOIN UNNEST(nums) x ORDER BY 1, 2
SELECT id, p.label FROM d.t, UNNEST(probs) p WHERE (SELECT MAX(n) FROM UNNEST(t.nums) n) > 15 ORDER BY 1, 2
SELECT a.id, b.id, x FROM d.t a, UNNEST(a.nums) x, d.u b WHERE a.id = b.id ORDER BY 1,2,3
SELECT id, prob FROM d.t t, t.probs ORDER BY 1, 2
SELECT id, p.prob FROM d.t t, t.probs p ORDER BY 1, 2
SELECT IF(p.label = 'a', 1, 0) AS label, COUNT(*) n FROM d.t, UNNEST(probs) p GROUP BY label ORDER BY 1
SELECT p.label AS x, p.label FROM d.t, UNNEST(probs) p GROUP BY 1, 2 ORDER BY p.label
SELECT id AS p, p.prob FROM d.t, UNNEST(probs) p ORDER BY p.prob
SELECT STRUCT(id, p.label) AS z FROM d.t, UNNEST(probs) p ORDER BY p.label
SELECT ARRAY_AGG(STRUCT(p.label, id) ORDER BY p.prob) FROM d.t, UNNEST(probs) p
SELECT AS STRUCT id, p.label FROM d.t, UNNEST(probs) p ORDER BY 1 LIMIT 1
SELECT id, p.* FROM d.t, UNNEST(probs) p ORDER BY 1,2
SELECT id, x FROM d.t, UNNEST(nums) AS x UNION ALL SELECT 0, 0 ORDER BY 1,2
SELECT id, n.x FROM d.t, UNNEST(ARRAY(SELECT AS STRUCT v AS x FROM UNNEST(nums) v)) n ORDER BY 1,2
SELECT MAX(x) OVER w FROM d.t, UNNEST(nums) x WINDOW w AS (PARTITION BY id ORDER BY x) ORDER BY 1
"""


@pytest.fixture(scope="module")
def con() -> sqlml.Connection:
    connection = sqlml.connect()
    for statement in ("CREATE SCHEMA d", TABLE, OTHER):
        connection.execute(statement)
    return connection


def answer(con: sqlml.Connection, query: str) -> tuple[list[str], list[Any]]:
    cursor = con.execute(query)
    return [column[0] for column in cursor.description], cursor.fetchall()


@pytest.mark.parametrize("query", QUERIES.strip().splitlines())
def test_both_forms_agree(con: sqlml.Connection, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = answer(con, query)
    monkeypatch.setattr(queries, "flatten", lambda node: None)
    assert answer(con, query) == flat


def test_an_element_may_be_called_as_its_array(con: sqlml.Connection) -> None:
    assert answer(con, "SELECT id, nums FROM d.t, UNNEST(nums) nums ORDER BY 1, 2")[1] == [(1, 10), (1, 20), (2, 30)]


@pytest.mark.parametrize(
    "array",
    [
        "[STRUCT<a INT64, b TIMESTAMP>(1, '2023-02-01 00:00:00 UTC'), (2, NULL)]",
        "[STRUCT<a INT64, b TIMESTAMP>(1, '2023-02-01 00:00:00 UTC'), STRUCT(2, NULL)]",
        "[STRUCT<a INT64, b TIMESTAMP>(1, '2023-02-01 00:00:00 UTC'), STRUCT<a INT64, b TIMESTAMP>(2, NULL)]",
        "ARRAY<STRUCT<a INT64, b TIMESTAMP>>[(1, '2023-02-01 00:00:00 UTC'), (2, NULL)]",
    ],
)
def test_the_type_of_the_first_struct_is_that_of_all(array: str) -> None:
    """Its fields are columns, with its names and types."""
    with sqlml.connect() as con:
        found = con.execute(f"SELECT * FROM UNNEST({array}) ORDER BY a")
        assert [d[0] for d in found.description] == ["a", "b"]
        rows = found.fetchall()
        assert [r[0] for r in rows] == [1, 2] and rows[1][1] is None and rows[0][1].isoformat()[:10] == "2023-02-01"
        assert con.execute(f"SELECT x.a FROM UNNEST({array}) AS x WHERE x.b IS NULL").fetchall() == [(2,)]
