#!/usr/bin/env python3
"""Compare sqlml with numbers that BigQuery ML returned.

Every case of cases.json runs in its own process, on its own in-memory connection, under a
time limit. One line per case, then a summary. The exit code is 0 unless --min-pass is not met.

    python run_parity.py                        all cases
    python run_parity.py --family pca --tight   one family, at the tolerance the recipes reach
    python run_parity.py --id 'linear_reg.*' -v
"""

from __future__ import annotations

import argparse
import collections
import csv
import datetime
import decimal
import fnmatch
import importlib
import json
import math
import multiprocessing
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
DUCKDB_TYPE = {
    "STRING": "VARCHAR",
    "FLOAT64": "DOUBLE",
    "INT64": "BIGINT",
    "BOOL": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMPTZ",
    "ARRAY<STRING>": "VARCHAR[]",
    "ARRAY<FLOAT64>": "DOUBLE[]",
}


class Difference(Exception):
    """The statement ran, and its answer is not the expected one."""

    def __init__(self, text, error=math.inf):
        super().__init__(text)
        self.error = error


# ---------------------------------------------------------------- loading


def literal(value, kind):
    """A value as a GoogleSQL literal of the given type."""
    if value is None:
        return "NULL"
    if kind.startswith("ARRAY<"):
        inner = kind[len("ARRAY<") : -1]
        return "[" + ", ".join(literal(v, inner) for v in value) + "]"
    if kind == "TIMESTAMP":
        text = str(value)
        return f"TIMESTAMP '{text if '+' in text else text + '+00'}'"
    if kind == "STRING":
        return "'" + str(value).replace("'", "''") + "'"
    if kind == "BOOL":
        return "TRUE" if value else "FALSE"
    return repr(float(value)) if kind == "FLOAT64" else str(int(value))


def rows_of(spec, data_dir):
    if "rows" in spec:
        return spec["rows"]
    with open(data_dir / spec["file"], newline="", encoding="utf-8") as handle:
        reader = csv.reader(handle)
        header = next(reader)
        order = [header.index(name) for name in spec["columns"]]
        return [[row[i] if row[i] != "" else None for i in order] for row in reader]


def load_by_csv(con, name, spec, data_dir):
    """DuckDB reads the file itself."""
    if "file" not in spec:
        raise ValueError("not a file")
    path = str(data_dir / spec["file"]).replace("'", "''")
    types = ", ".join(f"'{c}': '{DUCKDB_TYPE[k]}'" for c, k in spec["columns"].items())
    con.execute(
        f"CREATE TABLE {name} AS SELECT * FROM read_csv('{path}', header=true, columns={{{types}}})"
    )


def load_by_insert(con, name, spec, data_dir, types):
    columns = ", ".join(f"{c} {types(k)}" for c, k in spec["columns"].items())
    con.execute(f"CREATE TABLE {name} ({columns})")
    kinds = list(spec["columns"].values())
    rows = rows_of(spec, data_dir)
    for start in range(0, len(rows), 1000):
        values = ", ".join(
            "(" + ", ".join(literal(v, k) for v, k in zip(row, kinds)) + ")"
            for row in rows[start : start + 1000]
        )
        con.execute(f"INSERT INTO {name} VALUES {values}")


def load_by_frame(con, name, spec, data_dir):
    import pandas

    frame = pandas.DataFrame(rows_of(spec, data_dir), columns=list(spec["columns"]))
    for column, kind in spec["columns"].items():
        if kind in ("FLOAT64", "INT64"):
            frame[column] = pandas.to_numeric(frame[column])
        elif kind == "TIMESTAMP":
            frame[column] = pandas.to_datetime(frame[column], utc=True)
    con.register(name, frame)


def load(con, name, spec, data_dir):
    """Fill one table, by the first road that works and gives the right number of rows."""
    roads = [
        lambda: load_by_csv(con, name, spec, data_dir),
        lambda: load_by_insert(con, name, spec, data_dir, lambda k: k),
        lambda: load_by_insert(con, name, spec, data_dir, DUCKDB_TYPE.get),
        lambda: load_by_frame(con, name, spec, data_dir),
    ]
    if "file" not in spec:
        roads = roads[1:]
    wanted = len(rows_of(spec, data_dir))
    problems = []
    for road in roads:
        try:
            road()
            found = query(con, f"SELECT COUNT(*) AS n FROM {name}")[1][0][0]
            if found == wanted:
                return
            problems.append(f"{found} rows instead of {wanted}")
        except Exception as problem:
            problems.append(first_line(problem))
        try:
            con.execute(f"DROP TABLE {name}")
        except Exception:
            pass
    raise RuntimeError(f"table {name} could not be loaded: " + "; ".join(problems))


# ---------------------------------------------------------------- running


def query(con, sql):
    """(column names, rows) of a statement."""
    cursor = con.execute(sql)
    if cursor is None or not hasattr(cursor, "fetchall"):
        cursor = con
    rows = cursor.fetchall()
    return [d[0] for d in cursor.description], [tuple(r) for r in rows]


def first_line(problem):
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0][:300]


def connect():
    """A fresh connection that is asked to reproduce the service's habits, not only the best answer."""
    con = importlib.import_module("sqlml").connect(":memory:")
    try:
        con.execute("SET sqlml.fidelity = 'bigquery'")
    except Exception as error:
        print(f"note: fidelity could not be set: {error}", file=sys.stderr)
    return con


def run_case(case, tables, data_dir, tight):
    """Raise Difference or any other exception; return the worst relative error."""
    con = connect()
    for name in case["setup"]:
        load(con, name, tables[name], data_dir)
    train = case.get("train_sql") or []
    for statement in [train] if isinstance(train, str) else train:
        con.execute(statement)
    if case.get("expect_error"):
        try:
            query(con, case["query_sql"])
        except Exception:
            return 0.0
        raise Difference("an error was expected, the statement succeeded")
    names, rows = query(con, case["query_sql"])
    check_shape(case, names, rows)
    rtol = case.get("rtol_tight", case["rtol"]) if tight else case["rtol"]
    tolerance = (rtol, case.get("atol", 1e-12))
    worst = 0.0
    if case.get("same_as_sql") or case.get("differs_from_sql"):
        other_names, other = query(con, case.get("same_as_sql") or case["differs_from_sql"])
        try:
            expected = {n: [r[i] for r in other] for i, n in enumerate(other_names)}
            worst = compare(case, expected, names, rows, tolerance)
            same = True
        except Difference as problem:
            same, found = False, problem
        if case.get("same_as_sql") and not same:
            raise Difference("the two statements disagree: " + str(found), found.error)
        if case.get("differs_from_sql") and same:
            raise Difference("the two statements should give different numbers")
    if case["expect"]:
        worst = max(worst, compare(case, case["expect"], names, rows, tolerance))
    return worst


# ---------------------------------------------------------------- comparing


def check_shape(case, names, rows):
    have = {n.lower() for n in names}
    missing = [c for c in case.get("expect_columns", ()) if c.lower() not in have]
    if missing:
        raise Difference("missing columns: " + ", ".join(missing))
    count = case.get("expect_column_count")
    if count is not None and len(names) != count:
        raise Difference(f"{len(names)} columns instead of {count}: {', '.join(names)}")
    wanted = case.get("expect_rows")
    if wanted is not None and len(rows) != wanted:
        raise Difference(f"{len(rows)} rows instead of {wanted}")
    least = case.get("expect_min_rows")
    if least is not None and len(rows) < least:
        raise Difference(f"{len(rows)} rows, at least {least} expected")


def plain(value):
    """Python, numpy and Arrow values to None, bool, int, float, str, list, dict."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    for method in ("tolist", "as_py", "to_pydatetime"):
        if hasattr(value, method):
            return plain(getattr(value, method)())
    return str(value)


def nan_to_none(value):
    return None if isinstance(value, float) and math.isnan(value) else value


def relative(expected, actual, tolerance):
    """Excess of a number over its tolerance, as a relative error; None when it fits."""
    rtol, atol = tolerance
    gap = abs(actual - expected)
    error = gap / abs(expected) if expected else gap
    return error, gap <= rtol * abs(expected) + atol


def value_error(expected, actual, tolerance):
    """(worst relative error, whether everything fits) of two plain values."""
    expected, actual = nan_to_none(expected), nan_to_none(actual)
    if isinstance(expected, (list, dict)) and isinstance(actual, str):
        try:
            actual = json.loads(actual)
        except ValueError:
            return math.inf, False
    if expected is None or actual is None:
        return (0.0, True) if expected is actual else (math.inf, False)
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return math.inf, False
        return combine(value_error(e, a, tolerance) for e, a in zip(expected, actual))
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return math.inf, False
        keys = {str(k).lower(): v for k, v in actual.items()}
        if {k.lower() for k in expected} != set(keys):
            return math.inf, False
        return combine(value_error(v, keys[k.lower()], tolerance) for k, v in expected.items())
    if isinstance(expected, bool) or isinstance(actual, bool):
        same = bool(expected) == bool(actual) and not isinstance(actual, str)
        return (0.0, True) if same else (math.inf, False)
    if isinstance(expected, int) and isinstance(actual, int) and tolerance[0] == 0:
        return (0.0, True) if expected == actual else (math.inf, False)
    if isinstance(expected, (int, float)):
        try:
            return relative(float(expected), float(actual), tolerance)
        except (TypeError, ValueError):
            return math.inf, False
    return (0.0, True) if str(expected) == str(actual) else (math.inf, False)


def combine(results):
    worst, fits = 0.0, True
    for error, ok in results:
        worst, fits = max(worst, error), fits and ok
    return worst, fits


def negated(value):
    if isinstance(value, list):
        return [negated(v) for v in value]
    if isinstance(value, dict):
        return {k: negated(v) if isinstance(v, (int, float)) else v for k, v in value.items()}
    return -value if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def arranged(case, column, value):
    """Order the items of an array by a key, and drop the items the case leaves out."""
    key = case.get("list_keys", {}).get(column)
    if isinstance(value, str) and key:
        value = json.loads(value)
    if not isinstance(value, list) or not key:
        return value
    dropped = case.get("drop_items", {}).get(column)
    items = [i for i in value if not dropped or any(i.get(k) != v for k, v in dropped.items())]
    return sorted(items, key=lambda item: str(item.get(key)))


def sort_key(row, indexes):
    return [(row[i] is None, row[i] if row[i] is not None else 0) for i in indexes]


def compare(case, expect, names, rows, tolerance):
    columns = list(expect)
    lists = any(isinstance(v, list) for v in expect.values())
    height = max((len(v) for v in expect.values() if isinstance(v, list)), default=1)
    expected = [
        [arranged(case, c, expect[c][i] if isinstance(expect[c], list) else expect[c]) for c in columns]
        for i in range(height)
    ]
    position = {n.lower(): i for i, n in reversed(list(enumerate(names)))}
    absent = [c for c in columns if c.lower() not in position]
    if absent:
        raise Difference("missing columns: " + ", ".join(absent))
    places = [position[c.lower()] for c in columns]
    actual = [[arranged(case, c, plain(row[p])) for c, p in zip(columns, places)] for row in rows]
    if case.get("first_row_only"):
        actual = actual[:1]
    if len(actual) != len(expected):
        raise Difference(f"{len(actual)} rows instead of {len(expected)}")
    if case.get("order_by") and lists:
        indexes = [columns.index(c) for c in case["order_by"]]
        expected.sort(key=lambda r: sort_key(r, indexes))
        actual.sort(key=lambda r: sort_key([nan_to_none(v) for v in r], indexes))
    elif case.get("unordered"):
        actual = paired(expected, actual, tolerance)
    worst = 0.0
    failed = None
    for j, column in enumerate(columns):
        have = [r[j] for r in actual]
        want = [r[j] for r in expected]
        error, fits, row = column_error(want, have, tolerance)
        if not fits and column in case.get("sign_free", ()):
            other = column_error([negated(v) for v in want], have, tolerance)
            if other[0] < error:
                error, fits, row = other
        worst = max(worst, error) if fits else worst
        if not fits and (failed is None or error > failed[0]):
            failed = (error, column, row, want[row], have[row])
    if failed:
        error, column, row, want, have = failed
        raise Difference(
            f"{column} row {row}: expected {short(want)} got {short(have)} (relative error {error:.3g})", error
        )
    return worst


def column_error(want, have, tolerance):
    worst, fits, where = 0.0, True, 0
    for i, (e, a) in enumerate(zip(want, have)):
        error, ok = value_error(e, a, tolerance)
        if (not ok and fits) or (ok == fits and error > worst):
            worst, where = error, i
        fits = fits and ok
    return worst, fits, where


def paired(expected, actual, tolerance):
    """Put the actual rows into the order of their nearest expected rows."""
    left = list(actual)
    out = []
    for row in expected:
        def cost(other, row=row):
            parts = [value_error(e, a, tolerance) for e, a in zip(row, other)]
            return (sum(not ok for _, ok in parts), sum(min(x, 1e9) for x, _ in parts))
        best = min(left, key=cost)
        left.remove(best)
        out.append(best)
    return out


def short(value):
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


# ---------------------------------------------------------------- processes


def child(pipe, case, tables, data_dir, tight):
    try:
        worst = run_case(case, tables, data_dir, tight)
        pipe.send(("ok", "", worst))
    except Difference as problem:
        pipe.send(("DIFF", str(problem), problem.error))
    except BaseException as problem:
        pipe.send(("ERROR", first_line(problem), traceback.format_exc()))
    pipe.close()


class Job:
    def __init__(self, context, case, options):
        self.case = case
        self.started = time.monotonic()
        self.pipe, other = context.Pipe(duplex=False)
        self.process = context.Process(
            target=child, args=(other, case, options.table_specs, options.data, options.tight), daemon=True
        )
        self.process.start()
        other.close()

    def poll(self, timeout):
        """The result, or None while it runs."""
        if self.pipe.poll(0):
            try:
                result = self.pipe.recv()
            except EOFError:
                self.process.join(5)
                result = ("ERROR", f"process ended with code {self.process.exitcode}", None)
        elif not self.process.is_alive() and not self.pipe.poll(0.05):
            result = ("ERROR", f"process ended with code {self.process.exitcode}", None)
        elif time.monotonic() - self.started > timeout:
            result = ("ERROR", f"no answer after {timeout:g} s", None)
        else:
            return None
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return result


def run_all(cases, options):
    kind = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    try:
        importlib.import_module("sqlml")  # once, so that forked children need not
    except Exception as problem:
        print("warning: import sqlml fails:", first_line(problem), file=sys.stderr)
    waiting = collections.deque(cases)
    running, results = [], {}
    printed = 0
    while waiting or running:
        while waiting and len(running) < options.jobs:
            running.append(Job(context, waiting.popleft(), options))
        for job in list(running):
            result = job.poll(options.timeout)
            if result:
                running.remove(job)
                results[job.case["id"]] = (*result, time.monotonic() - job.started)
        while printed < len(cases) and cases[printed]["id"] in results:
            report(cases[printed], results[cases[printed]["id"]], options)
            printed += 1
        time.sleep(0.01)
    return results


def report(case, result, options):
    state, text, extra, seconds = result
    line = f"{state:5s} {case['id']}"
    if options.verbose:
        line += f"  [{case['determinism']}, {seconds:.1f} s]"
    if state == "ok" and options.verbose and extra:
        line += f"  worst relative error {extra:.2g}"
    if text:
        line += "  " + text
    print(line, flush=True)
    if state == "ERROR" and options.verbose > 1 and extra:
        print("      " + extra.strip().replace("\n", "\n      "))


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=pathlib.Path, default=HERE / "cases.json")
    parser.add_argument("--tables", type=pathlib.Path, help="default: tables.json beside the cases")
    parser.add_argument("--data", type=pathlib.Path, help="folder of the data files")
    parser.add_argument("--family", action="append", default=[], help="may be given more than once")
    parser.add_argument("--id", action="append", default=[], help="an id or a pattern with *; may be repeated")
    parser.add_argument("--numeric", action="store_true", help="leave out the cases that compare no number")
    parser.add_argument("--tight", action="store_true", help="use rtol_tight where a case has one")
    parser.add_argument("--timeout", type=float, default=120)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--min-pass", type=int, default=None, help="exit 1 when fewer cases pass")
    parser.add_argument("--json", type=pathlib.Path, help="also write the results to this file")
    parser.add_argument("-v", "--verbose", action="count", default=0)
    options = parser.parse_args(arguments)
    options.tables = options.tables or options.cases.resolve().parent / "tables.json"
    if options.data is None:
        places = [HERE / "data", HERE.parent / "data"]
        options.data = next((p for p in places if p.is_dir()), places[0])
    return options


def chosen(cases, options):
    for case in cases:
        if options.family and case["family"] not in options.family:
            continue
        if options.id and not any(fnmatch.fnmatch(case["id"], p) for p in options.id):
            continue
        if options.numeric and case["determinism"] == "shape":
            continue
        yield case


def main(arguments=None):
    options = parse(arguments)
    options.table_specs = json.loads(options.tables.read_text(encoding="utf-8"))
    cases = list(chosen(json.loads(options.cases.read_text(encoding="utf-8")), options))
    results = run_all(cases, options)
    passed = sum(r[0] == "ok" for r in results.values())
    families = collections.defaultdict(lambda: [0, 0])
    for case in cases:
        families[case["family"]][0] += results[case["id"]][0] == "ok"
        families[case["family"]][1] += 1
    for family, (good, total) in families.items():
        print(f"  {family}: {good} of {total}")
    print(f"parity: {passed} of {len(cases)} cases")
    if options.json:
        out = {k: {"state": r[0], "text": r[1], "seconds": round(r[3], 2)} for k, r in results.items()}
        options.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return int(options.min_pass is not None and passed < options.min_pass)


if __name__ == "__main__":
    sys.exit(main())
