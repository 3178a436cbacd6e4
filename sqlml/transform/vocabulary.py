"""Encoders with a vocabulary: one-hot, label, multi-hot, bag of words, TF-IDF.

A vocabulary keeps the terms of at least `frequency_threshold` rows, of these the `top_k` most
frequent (ties: alphabetically first), and numbers them alphabetically from 1. NULL and every other
term have index 0. Rows are counted, not occurrences.

A term is looked up in a MAP when there are few, and through a correlated subquery over the terms when
there are many: DuckDB makes a hash join of it, while a MAP is searched from its beginning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sqlml.schema import quote_literal
from sqlml.transform.arguments import TEXT, TEXTS, Call
from sqlml.transform.forms import Analytic, let

#: Above this a join beats a MAP: for one string per row, and for arrays, whose join groups by array.
_MOST_IN_MAP = 50
_MOST_IN_ARRAY_MAP = 500
_TERM, _INDEX, _RANK, _WEIGHT = '"__term"', '"__index"', '"__rank"', '"__weight"'


def _limits(call: Call, first: int) -> tuple[int, int]:
    top_k = call.integer(first, "top_k", 32_000, 1, 1_000_000)
    threshold = call.integer(first + 1, "frequency_threshold", 5, 0)
    return top_k, threshold


def _ranked(histogram: str, top_k: int, threshold: int) -> str:
    """The kept terms with their counts, most frequent first, out of a MAP from term to count."""
    kept = f"list_filter(map_entries({histogram}), lambda __e: __e.value >= {threshold})"
    order = f"list_transform({kept}, lambda __e: struct_pack(n := -CAST(__e.value AS BIGINT), k := __e.key))"
    return f"list_slice(list_sort({order}), 1, {top_k})"


def _terms_of(ranked: str) -> str:
    return f"list_transform({ranked}, lambda __e: __e.k)"


def _known(value: object) -> list[tuple[str, int]]:
    """(term, rows) most frequent first, from a fitted list of structs."""
    rows = value if isinstance(value, list | tuple) else ()
    return [(str(row["k"]), -int(row["n"])) for row in rows]


def _terms_query(rows: str, top_k: int, threshold: int) -> str:
    """The vocabulary as a query over `rows`, a query of one column `__term`."""
    counted = (
        f"SELECT {_TERM}, count(*) AS __n FROM ({rows}) AS __rows WHERE {_TERM} IS NOT NULL GROUP BY {_TERM}"
        f" HAVING count(*) >= {threshold} ORDER BY __n DESC, {_TERM} LIMIT {top_k}"
    )
    return (
        f"SELECT {_TERM}, __n, row_number() OVER (ORDER BY {_TERM}) AS {_INDEX},"
        f" row_number() OVER (ORDER BY __n DESC, {_TERM}) AS {_RANK} FROM ({counted}) AS __counted"
    )


def _terms_values(terms: Sequence[tuple[str, int, int, float]]) -> str:
    """The vocabulary as a query over literals: (term, index, rank, weight).

    One long literal per column: DuckDB reads it in no time, where a row of VALUES costs 0.1 ms, again in every plan.
    """
    mark = next(c for c in map(chr, range(1, 0x110000)) if not any(c in t for t, *_ in terms))
    texts = f"string_split({quote_literal(mark.join(t for t, *_ in terms))}, {quote_literal(mark)})"
    columns = [f"unnest({texts}) AS {_TERM}"]
    for place, name, kind in ((1, _INDEX, "BIGINT"), (2, _RANK, "BIGINT"), (3, _WEIGHT, "DOUBLE")):
        numbers = ",".join(repr(t[place]) for t in terms)
        columns.append(f"unnest(CAST(string_split('{numbers}', ',') AS {kind}[])) AS {name}")
    return f"SELECT {', '.join(columns)}"


def _numbered(
    ranked: Sequence[str], weight: Callable[[int], float] = lambda rank: 1.0
) -> list[tuple[str, int, int, float]]:
    """(term, index, rank, weight) of terms given in order of frequency."""
    index = {term: i + 1 for i, term in enumerate(sorted(ranked))}
    return [(term, index[term], rank + 1, weight(rank)) for rank, term in enumerate(ranked)]


def _map(terms: Sequence[tuple[str, int, int, float]]) -> str:
    pairs = ", ".join(f"{quote_literal(t)}: {i}" for t, i, _, _ in terms)
    return f"MAP {{{pairs}}}"


# ---------------------------------------------------------------- one string per row


def label_encoder(call: Call) -> Analytic:
    """The index of the string."""
    call.count(1, 3)
    x = call.value(0, TEXT)
    top_k, threshold = _limits(call, 1)
    ranked = _ranked("{}", top_k, threshold)
    statistic = ranked.format(f"histogram({x})")

    def replay(values: Sequence[object]) -> str:
        terms = _numbered([t for t, _ in _known(values[0])])
        return _index_of(x, terms)

    def lookup(source: str) -> str:
        plain = call.unchecked(0, TEXT)
        terms = _terms_query(f"SELECT {plain} AS {_TERM} {source}", top_k, threshold)
        return call.guarded(0, TEXT, _first(terms, plain, _INDEX, "0"))

    vocabulary = f"list_sort({_terms_of(ranked.format(f'(histogram({x}) OVER ())'))})"
    window = f"CAST(coalesce(list_position({vocabulary}, {x}), 0) AS BIGINT)"
    return Analytic((statistic,), replay, window, lookup, counts_terms=True)


def _index_of(x: str, terms: Sequence[tuple[str, int, int, float]]) -> str:
    if not terms:
        return "CAST(0 AS BIGINT)"
    if len(terms) <= _MOST_IN_MAP:
        return f"CAST(coalesce({_map(terms)}[{x}], 0) AS BIGINT)"
    return _first(_terms_values(terms), x, _INDEX, "0")


def _first(terms: str, x: str, result: str, otherwise: str) -> str:
    return f"coalesce((SELECT {result} FROM ({terms}) AS __terms WHERE {_TERM} = {x}), {otherwise})"


def one_hot_encoder(call: Call) -> Analytic:
    """[(index, 1.0)]; with drop 'most_frequent' the most frequent term keeps its index and has value 0.0."""
    call.count(1, 4)
    x = call.value(0, TEXT)
    drop = call.choice(1, "drop", "none", ("none", "most_frequent")) == "most_frequent"
    top_k, threshold = _limits(call, 2)
    ranked = _ranked("{}", top_k, threshold)

    def item(index: str, dropped: str | None) -> str:
        value = f"CASE WHEN {x} = {dropped} THEN 0.0::DOUBLE ELSE 1.0::DOUBLE END" if dropped else "1.0::DOUBLE"
        return f"[struct_pack(index := {index}, value := {value})]"

    def replay(values: Sequence[object]) -> str:
        names = [t for t, _ in _known(values[0])]
        dropped = quote_literal(names[0]) if drop and names else None
        return item(_index_of(x, _numbered(names)), dropped)

    def lookup(source: str) -> str:
        plain = call.unchecked(0, TEXT)
        terms = _terms_query(f"SELECT {plain} AS {_TERM} {source}", top_k, threshold)
        value = f"CASE WHEN {_RANK} = 1 THEN 0.0::DOUBLE ELSE 1.0::DOUBLE END" if drop else "1.0::DOUBLE"
        found = f"struct_pack(index := {_INDEX}, value := {value})"
        unknown = "struct_pack(index := CAST(0 AS BIGINT), value := 1.0::DOUBLE)"
        return call.guarded(0, TEXT, f"[{_first(terms, plain, found, unknown)}]")

    terms = _terms_of(ranked.format(f"(histogram({x}) OVER ())"))
    index = f"CAST(coalesce(list_position(list_sort({terms}), {x}), 0) AS BIGINT)"
    window = item(index, f"({terms})[1]" if drop else None)
    return Analytic((ranked.format(f"histogram({x})"),), replay, window, lookup, counts_terms=True)


# ---------------------------------------------------------------- arrays of strings


def _documents(x: str) -> str:
    """A MAP from term to the number of arrays that hold it, as an aggregate."""
    return f"list_aggregate(flatten(list(list_distinct({x}))), 'histogram')"


def _documents_window(x: str) -> str:
    return f"list_aggregate(flatten(list(list_distinct({x})) OVER ()), 'histogram')"


def _counted(entry_value: str) -> str:
    """(index, value) for each index of the array `_i`, ascending; `e` is (key index, value count)."""
    return (
        "list_sort(list_transform(map_entries(list_aggregate(_i, 'histogram')),"
        f" lambda __e: struct_pack(index := __e.key, value := {entry_value})))"
    )


_ONCE = (
    "list_transform(list_filter(_i, lambda __e, __p: list_position(_i, __e) = __p),"
    " lambda __e: struct_pack(index := __e, value := 1.0::DOUBLE))"
)
_EMPTY = "CAST([] AS STRUCT(index BIGINT, value DOUBLE)[])"


def _in_array(x: str, index: str, body: str) -> str:
    """`body` over `_i`, the indices of the items of array `x`; NULL for a NULL array, [] for an empty one."""
    indices = f"list_transform(_x, lambda t: CAST(coalesce({index}, 0) AS BIGINT))"
    filled = let(indices, "_i", body)
    return let(x, "_x", f"CASE WHEN _x IS NULL THEN NULL WHEN len(_x) = 0 THEN {_EMPTY} ELSE {filled} END")


def _joined(x: str, terms: str, values: Sequence[tuple[str, str]], by_place: bool = False) -> str:
    """[(index, values...)] of an array through a join of its unnested items with the query `terms`."""
    order = "__first" if by_place else _INDEX
    items = ", ".join(f"{sql} AS {name}" for name, sql in values)
    fields = ", ".join(f"{name} := {name}" for name, _ in values)
    rows = (
        f"SELECT coalesce(__v.{_INDEX}, 0) AS {_INDEX}, min(__place) AS __first, {items}"
        f" FROM unnest({x}) WITH ORDINALITY AS __u(__t, __place)"
        f" LEFT JOIN __terms AS __v ON __v.{_TERM} = __t GROUP BY 1"
    )
    found = (
        f"(WITH __terms AS ({terms}) SELECT list(struct_pack(index := {_INDEX}, {fields}) ORDER BY {order})"
        f" FROM ({rows}) AS __counts)"
    )
    return f"CASE WHEN {x} IS NULL THEN NULL ELSE coalesce({found}, []) END"


def _of_arrays(call: Call, body: str, value: str, by_place: bool) -> Analytic:
    """An encoder of arrays that needs no statistics but the vocabulary."""
    call.count(1, 3)
    x = call.value(0, TEXTS)
    top_k, threshold = _limits(call, 1)
    ranked = _ranked("{}", top_k, threshold)

    def replay(values: Sequence[object]) -> str:
        terms = _numbered([t for t, _ in _known(values[0])])
        if len(terms) > _MOST_IN_ARRAY_MAP:
            return _joined(x, _terms_values(terms), [("value", value)], by_place)
        return _in_array(x, f"{_map(terms)}[t]" if terms else "0", body)

    def lookup(source: str) -> str:
        plain = call.unchecked(0, TEXTS)
        rows = f"SELECT unnest(list_distinct({plain})) AS {_TERM} {source}"
        joined = _joined(plain, _terms_query(rows, top_k, threshold), [("value", value)], by_place)
        return call.guarded(0, TEXTS, joined)

    terms = f"list_sort({_terms_of(ranked.format(_documents_window(x)))})"
    window = let(terms, "_v", _in_array(x, "list_position(_v, t)", body))
    return Analytic((ranked.format(_documents(x)),), replay, window, lookup, counts_terms=True)


def multi_hot_encoder(call: Call) -> Analytic:
    """[(index, 1.0)] for each different index of the array, in order of first appearance."""
    return _of_arrays(call, _ONCE, "1.0::DOUBLE", by_place=True)


def bag_of_words(call: Call) -> Analytic:
    """(index, count) for each index of the array, ascending."""
    body = _counted("CAST(__e.value AS DOUBLE)")
    return _of_arrays(call, body, "CAST(count(*) AS DOUBLE)", by_place=False)


def tf_idf(call: Call) -> Analytic:
    """(index, tf * idf) for each index of the array, ascending.

    tf = count / length of the array, NULL items included; idf = ln(1 + N / (1 + arrays with the term)), N
    the number of arrays. The unknown term's idf is the mean over the vocabulary.
    """
    call.count(1, 3)
    x = call.value(0, TEXTS)
    top_k, threshold = _limits(call, 1)
    ranked = _ranked("{}", top_k, threshold)

    def replay(values: Sequence[object]) -> str:
        known, documents = _known(values[0]), _count(values[1])
        idf = [math.log(1 + documents / (1 + n)) for _, n in known]
        unknown = sum(idf) / len(idf) if idf else math.log(1 + documents)
        terms = _numbered([t for t, _ in known], lambda rank: idf[rank])
        if len(terms) > _MOST_IN_ARRAY_MAP:
            return _weighed(x, _terms_values(terms), quote_literal(unknown))
        weights = [unknown, *(w for _, _, _, w in sorted(terms, key=lambda term: term[1]))]
        body = _counted(f"__e.value / len(_x) * ({quote_literal(weights)})[__e.key + 1]")
        return _in_array(x, f"{_map(terms)}[t]" if terms else "0", body)

    def lookup(source: str) -> str:
        plain = call.unchecked(0, TEXTS)
        rows = f"SELECT unnest(list_distinct({plain})) AS {_TERM} {source}"
        total = f"(SELECT count({plain}) {source})"
        inner = _terms_query(rows, top_k, threshold)
        terms = f"SELECT *, ln(1 + {total} / (1.0 + __n)) AS {_WEIGHT} FROM ({inner}) AS __named"
        unknown = f"(SELECT coalesce(avg({_WEIGHT}), ln(1 + {total})) FROM ({terms}) AS __weights)"
        return call.guarded(0, TEXTS, _weighed(plain, terms, unknown))

    window = _tf_idf_window(x, ranked.format(_documents_window(x)))
    return Analytic((ranked.format(_documents(x)), f"count({x})"), replay, window, lookup, counts_terms=True)


def _weighed(x: str, terms: str, unknown: str) -> str:
    """[(index, tf * idf)] of an array by a join with the query `terms`; `unknown` is the idf of all other terms."""
    found = _joined(x, terms, [("tf", "count(*)"), ("idf", f"any_value(__v.{_WEIGHT})")])
    # What is the same for the whole array stays outside: the join would carry the array along with each item.
    entry = "struct_pack(index := __e.index, value := __e.tf / _s.n * coalesce(__e.idf, _s.u))"
    parts = f"struct_pack(f := {found}, n := len({x}), u := {unknown})"
    return f"list_transform([{parts}], lambda _s: list_transform(_s.f, lambda __e: {entry}))[1]"


def _tf_idf_window(x: str, ranked: str) -> str:
    kept = f"list_sort(list_transform({ranked}, lambda __e: struct_pack(k := __e.k, n := -__e.n)))"
    idf = "list_transform(_s, lambda __e: ln(1 + _d / (1.0 + __e.n)))"
    body = _counted("__e.value / len(_x) * coalesce(_w[__e.key], coalesce(list_avg(_w), ln(1 + _d)))")
    inner = _in_array(x, "list_position(_v, t)", body)
    weighted = let(idf, "_w", let("list_transform(_s, lambda __e: __e.k)", "_v", inner))
    return let(f"count({x}) OVER ()", "_d", let(kept, "_s", weighted))


def _count(value: object) -> int:
    return int(value) if isinstance(value, int) else 0
