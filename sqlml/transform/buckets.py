"""Bucketing: by given split points, by quantiles, by hash."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from sqlml.schema import quote_literal
from sqlml.transform.arguments import NUMBER, TEXT, Call, as_written, constant, finite
from sqlml.transform.forms import Analytic, Scalar

_FORMATS = ("bucket_names", "bucket_ranges", "bucket_ranges_json")


def bucketize(call: Call) -> Scalar:
    """The bucket of a number among constant, ascending split points; bucket i is [split i-1, split i)."""
    call.count(2, 4)
    x = call.value(0, NUMBER)
    values, texts = _split_points(call)
    exclude = call.boolean(2, "exclude_boundaries", False)
    style = call.choice(3, "output_format", "bucket_names", _FORMATS)
    if exclude:
        if len(values) < 2:
            raise call.error(1, "hold at least two split points when exclude_boundaries is TRUE")
        values, texts = values[1:-1], texts[1:-1]
    return Scalar(_choose(x, values, texts, style))


def _split_points(call: Call) -> tuple[list[float], list[str]]:
    rule = "be a constant array of ascending finite numbers"
    value = call.constant(1, rule)
    if not isinstance(value, list) or not value or not finite(value) or value != sorted(value):
        raise call.error(1, rule)
    node = call.args[1].node.unnest()
    texts = [_text(item) for item in node.expressions] if isinstance(node, exp.Array) else [f"{v}" for v in value]
    return [float(v) for v in value], texts


def _text(item: exp.Expression) -> str:
    """A split point in the user's own spelling: 2 and not 2.0."""
    inner = as_written(item.unnest())
    if isinstance(inner, exp.Literal) or (isinstance(inner, exp.Neg) and isinstance(inner.this, exp.Literal)):
        return inner.sql("bigquery").strip("'")
    return f"{constant(item)[1]}"


def _choose(x: str, splits: Sequence[float], texts: Sequence[str], style: str) -> str:
    """A CASE tree of depth log2(number of splits) that ends in the labels; NULL stays NULL."""
    labels = [quote_literal(_label(i, texts, style)) for i in range(len(splits) + 1)]

    def tree(low: int, high: int) -> str:
        if low == high:
            return labels[low]
        middle = (low + high) // 2
        split = quote_literal(float(splits[middle]))
        return f"CASE WHEN {x} < {split} THEN {tree(low, middle)} ELSE {tree(middle + 1, high)} END"

    return f"CASE WHEN {x} IS NULL THEN NULL ELSE {tree(0, len(splits))} END"


def _label(index: int, texts: Sequence[str], style: str) -> str:
    first, last = index == 0, index == len(texts)
    if style == "bucket_names":
        return f"bin_{index + 1}"
    if style == "bucket_ranges":
        low = "(-inf" if first else f"[{texts[index - 1]}"
        return f"{low}, {'+inf' if last else texts[index]})"
    low = "-Infinity" if first else texts[index - 1]
    high = "Infinity" if last else texts[index]
    return f'{{"start": "{low}", "end": "{high}"}}'


def quantile_bucketize(call: Call) -> Analytic:
    """Buckets between order statistics: split i of k is element ceil(n i / k) of the n sorted numbers.

    Equal splits are merged. Under fidelity 'bigquery' a TRANSFORM clause also drops splits that equal
    the minimum or the maximum, as the service does there.
    """
    call.count(2, 3)
    x = call.value(0, NUMBER)
    buckets = call.integer(1, "num_buckets", 2, 1, 100_000)
    style = call.choice(2, "output_format", "bucket_names", _FORMATS)
    inner = call.frozen and call.fidelity == "bigquery"
    # The points are cut, not rounded, to 17 decimals: n times a point then never passes the integer
    # that it should just reach, and DuckDB computes ceil(n p) exactly for decimal points.
    points = [f"0.{i * 10**17 // buckets:017d}" for i in range(1, buckets)] or ["0.5"]
    quantiles = f"quantile_disc({x}, [{', '.join(points)}])"
    statistics = (quantiles, f"min({x})", f"max({x})") if inner else (quantiles,)
    text = "list_transform({}, lambda q: " + _shown("q") + ")"

    def replay(values: Sequence[object]) -> str:
        found, labels = values[0], values[1]
        pairs: list[tuple[float, str]] = []
        if buckets > 1 and isinstance(found, list | tuple) and isinstance(labels, list | tuple):
            for q, label in zip(found, labels, strict=True):
                if not (pairs and (pairs[-1][0] == q or pairs[-1][1] == label)) and q not in values[2:]:
                    pairs.append((q, label))
        return _choose(x, [q for q, _ in pairs], [label for _, label in pairs], style)

    fitted = (quantiles, text.format(quantiles), *statistics[1:])
    return Analytic(fitted, replay, _window(x, f"({quantiles} OVER ())", buckets, style))


def _shown(q: str) -> str:
    """A split point as text: 2 and not 2.0."""
    return f"regexp_replace(CAST({q} AS VARCHAR), '\\.0$', '')"


def _window(x: str, quantiles: str, buckets: int, style: str) -> str:
    """The bucket over splits that only a window knows; DuckDB sorts such constants once per vector."""
    splits = f"list_sort(list_distinct({quantiles}))" if buckets > 1 else "CAST([] AS DOUBLE[])"
    reached = [f"coalesce(CAST({x} >= {splits}[{i}] AS INTEGER), 0)" for i in range(1, buckets)]
    number = " + ".join(["1", *reached])
    if style == "bucket_names":
        label = f"'bin_' || ({number})"
    else:
        label = _range_label(f"({number})", splits, style)
    return f"CASE WHEN {x} IS NULL THEN NULL ELSE {label} END"


def _range_label(number: str, splits: str, style: str) -> str:
    low, high = _shown(f"{splits}[{number} - 1]"), _shown(f"{splits}[{number}]")
    # Index 0 and an index past the end are NULL in DuckDB: the open ends.
    if style == "bucket_ranges":
        return f"coalesce('[' || {low}, '(-inf') || ', ' || coalesce({high}, '+inf') || ')'"
    return (
        f'\'{{"start": "\' || coalesce({low}, \'-Infinity\') || \'", "end": "\''
        f" || coalesce({high}, 'Infinity') || '\"}}'"
    )


def hash_bucketize(call: Call) -> Scalar:
    """FarmHash Fingerprint64, read as an unsigned number, modulo the bucket count; the bare hash for 0."""
    call.count(2, 2)
    text = call.value(0, TEXT)
    size = call.integer(1, "hash_bucket_size", 0, 0)
    hashed = f"sqlml_farm_fingerprint({text})"
    if size == 0:
        return Scalar(hashed)
    # The low 64 bits of the sign-extended fingerprint are the unsigned number.
    return Scalar(f"CAST((CAST({hashed} AS HUGEINT) & 18446744073709551615) % {size} AS BIGINT)")
