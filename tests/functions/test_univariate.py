"""AI.FORECAST, AI.EVALUATE, AI.DETECT_ANOMALIES with weights of TimesFM: small ones, of a fixed seed."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import sqlml
from sqlml.errors import Cancelled, FormatError, NotSupportedError, OptionError
from sqlml.functions.univariate import ByDeciles, _reach, _score, frequency_code
from sqlml.kernels.series_clean import DAY, HOUR, Frequency, Regular
from sqlml.kernels.timesfm import Deciles
from sqlml.kernels.timesfm_weights import check
from tests import timesfm_models as models

pytest.importorskip("torch")

from sqlml.kernels.timesfm import TimesFM

SERIES = "data_col => 'v', timestamp_col => 'd', id_cols => ['id']"
COUNTS = "timestamp_col => 'd', data_col => 'v'"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("timesfm")
    return {name: models.write(root / name, name) for name in models.BY_NAME}


@pytest.fixture(scope="module")
def con(folders):
    """Table t: series a (300 days), b (40 days, two missing), c (counts), d (2 points), e (constant)."""
    connection = sqlml.connect()
    connection.duckdb.execute("CREATE TABLE t (id VARCHAR, d DATE, v DOUBLE)")
    rng = np.random.default_rng(5)
    values = {
        "a": 100 + 10 * np.sin(np.arange(300) / 3) + rng.standard_normal(300),
        "b": -3 + rng.standard_normal(40).cumsum(),
        "c": rng.poisson(2, 90).astype(float),
        "d": np.array([1.0, 2.0]),
        "e": np.full(30, 7.5),
    }
    for name, y in values.items():
        connection.duckdb.executemany(
            "INSERT INTO t SELECT ?, DATE '2024-01-01' + CAST(? AS INTEGER), ?", [[name, i, v] for i, v in enumerate(y)]
        )
    connection.duckdb.execute("DELETE FROM t WHERE id = 'b' AND d IN (DATE '2024-01-11', DATE '2024-01-12')")
    connection.duckdb.execute("INSERT INTO t VALUES ('b', DATE '2024-01-12', NULL)")
    yield connection
    connection.close()


@pytest.fixture(autouse=True)
def settings_as_before(con):
    yield
    con.execute("SET sqlml.timesfm = NULL")
    con.execute("SET sqlml.fidelity = 'best'")


def table(con, sql):
    cursor = con.execute(sql)
    names = [d[0] for d in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def values_of(con, name):
    rows = con.duckdb.execute("SELECT d, v FROM t WHERE id = ? AND v IS NOT NULL ORDER BY d", [name]).fetchall()
    days = [(d - rows[0][0]).days for d, _ in rows]
    return np.interp(np.arange(days[-1] + 1), days, [v for _, v in rows])


def expected(con, folder, name, h, **keywords):
    """Deciles by the kernel, whose numbers are those of the public packages."""
    model = TimesFM(check(folder))
    return dict(model.forecast([values_of(con, name)], [h], **keywords))[0].values


@pytest.mark.parametrize("name", models.BY_NAME)
def test_forecasts_are_the_kernels(con, folders, name):
    sql = f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}, model => '{folders[name]}', horizon => 40)"
    found = table(con, f"{sql} ORDER BY id, forecast_timestamp")
    for series in "abce":
        rows = [r for r in found if r["id"] == series]
        assert {r["ai_forecast_status"] for r in rows} == {None} and {r["confidence_level"] for r in rows} == {0.95}
        deciles = expected(con, folders[name], series, 40)
        np.testing.assert_allclose([r["forecast_value"] for r in rows], deciles[:, 4], rtol=1e-5, atol=1e-5)
        low, high = (np.array([r[f"prediction_interval_{x}_bound"] for r in rows]) for x in ("lower", "upper"))
        assert (low <= deciles[:, 0] + 1e-4).all() and (high >= deciles[:, 8] - 1e-4).all()
    (short,) = [r for r in found if r["id"] == "d"]
    assert short["ai_forecast_status"] == "The time series data is too short." and short["forecast_value"] is None
    assert [r["forecast_value"] for r in found if r["id"] == "e"] == [7.5] * 40
    assert len(found) == 161
    days = [r["forecast_timestamp"].date().isoformat() for r in found if r["id"] == "a"]
    assert days[:2] == ["2024-10-27", "2024-10-28"] and len(set(days)) == 40


@pytest.mark.parametrize(("level", "low", "high"), [(0.8, 0, 8), (0.6, 1, 7), (0.2, 3, 5), (0.0, 4, 4)])
def test_intervals_are_the_deciles(con, folders, level, low, high):
    sql = f"SELECT * FROM AI.FORECAST((SELECT * FROM t WHERE id = 'a'), {COUNTS}, horizon => 20,"
    rows = table(con, f"{sql} confidence_level => {level}, model => '{folders['timesfm-2.5']}')")
    deciles = expected(con, folders["timesfm-2.5"], "a", 20)
    np.testing.assert_allclose([r["prediction_interval_lower_bound"] for r in rows], deciles[:, low], atol=1e-4)
    np.testing.assert_allclose([r["prediction_interval_upper_bound"] for r in rows], deciles[:, high], atol=1e-4)


def test_intervals_of_the_service_are_symmetric(con, folders):
    con.execute("SET sqlml.fidelity = 'bigquery'")
    sql = f"SELECT * FROM AI.FORECAST((SELECT * FROM t WHERE id = 'c'), {COUNTS}, horizon => 20,"
    rows = table(con, f"{sql} model => '{folders['timesfm-2.5']}')")
    deciles = expected(con, folders["timesfm-2.5"], "c", 20)
    width = 1.959963984540054 * (deciles[:, 8] - deciles[:, 0]) / (2 * 1.2815515655446004)
    np.testing.assert_allclose([r["prediction_interval_lower_bound"] for r in rows], deciles[:, 4] - width, atol=1e-4)
    np.testing.assert_allclose([r["prediction_interval_upper_bound"] for r in rows], deciles[:, 4] + width, atol=1e-4)
    assert min(r["prediction_interval_lower_bound"] for r in rows) < 0


def test_counts_are_never_negative(con, folders):
    sql = f"SELECT * FROM AI.FORECAST((SELECT * FROM t WHERE id = 'c'), {COUNTS}, horizon => 64,"
    for name in ("timesfm-2.5", "timesfm-2.0"):
        rows = table(con, f"{sql} model => '{folders[name]}', confidence_level => 0.99)")
        assert min(r["prediction_interval_lower_bound"] for r in rows) >= 0


def test_the_setting_and_the_name(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    sql = f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}"
    cursor = con.execute(f"{sql}, model => 'TimesFM 2.5')")
    found = cursor.fetchall()
    assert "AI.FORECAST used TimesFM 2.5 with the weights in" in str(cursor.messages[0][1])
    assert con.execute(f"{sql})").fetchall() == found
    assert con.execute(f"{sql}, model => '{folders['transformers-2.5']}')").fetchall() == found
    with pytest.raises(OptionError, match=r"must be TimesFM 2.5, whose weights") as caught:
        con.execute(f"{sql}, model => 'TimesFM 2.0')")
    assert caught.value.source[caught.value.span.start : caught.value.span.end] == "'TimesFM 2.0'"
    con.execute("SET sqlml.timesfm = NULL")
    cursor = con.execute(f"{sql}, model => 'TimesFM 2.0')")
    assert "SET sqlml.timesfm" in str(cursor.messages[0][1]) and "ARIMA_PLUS" in str(cursor.messages[0][1])
    assert cursor.fetchall() != found


def test_connect_takes_weights(con, folders, tmp_path):
    with sqlml.connect(timesfm=folders["transformers-2.0"]) as other:
        other.duckdb.execute(
            "CREATE TABLE t AS SELECT DATE '2024-01-01' + i::INTEGER AS d, sin(i) AS v FROM range(50) r(i)"
        )
        cursor = other.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {COUNTS}, context_window => 64)")
        assert "TimesFM 2.0" in str(cursor.messages[0][1])
        with pytest.raises(OptionError, match=r"64, 128, 256, 512, 1024, 2048\. Got 4096"):
            other.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {COUNTS}, context_window => 4096)")
    with pytest.raises(OptionError, match="does not exist"):
        sqlml.connect(str(tmp_path / "x.duckdb"), timesfm=tmp_path / "nothing")
    sqlml.connect(str(tmp_path / "x.duckdb")).close()  # the file is not left locked


def test_the_urls_of_sqlalchemy_and_the_shell_take_weights(folders):
    sa = pytest.importorskip("sqlalchemy")
    days = "(SELECT DATE_ADD(DATE '2024-01-01', INTERVAL i DAY) AS d, 1.0 * i AS v"
    days += " FROM UNNEST(GENERATE_ARRAY(0, 20)) AS i)"
    sql = f"SELECT ROUND(forecast_value, 3) AS f FROM AI.FORECAST({days}, {COUNTS}, horizon => 1)"
    url = sa.URL.create("sqlml", query={"timesfm": folders["timesfm-2.5"]})
    with sa.create_engine(url).connect() as connection:
        found = connection.exec_driver_sql(sql).scalar()
    command = [sys.executable, "-m", "sqlml.shell", "--format", "csv", "-c", sql, "--timesfm"]
    done = subprocess.run([*command, folders["timesfm-2.5"]], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.split() == ["f", str(found)] and "used TimesFM 2.5" in done.stderr
    wrong = subprocess.run([*command, "/no/weights"], capture_output=True, text=True, timeout=600, check=False)
    assert wrong.returncode == 1 and "does not exist" in wrong.stderr and "Traceback" not in wrong.stderr


def test_relative_paths_are_kept_whole(con, folders, monkeypatch, tmp_path):
    models.write(tmp_path / "w", "timesfm-2.5")
    monkeypatch.chdir(tmp_path)
    con.execute("SET sqlml.timesfm = './w'")
    monkeypatch.chdir("/")
    assert "TimesFM 2.5" in str(con.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES})").messages[0][1])


def test_new_weights_at_the_same_path(con, tmp_path):
    sql = f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}, model => '{tmp_path}')"
    models.write(tmp_path, "timesfm-2.5")
    before = con.execute(sql).fetchall()
    assert con.execute(sql).fetchall() == before
    models.write(tmp_path, "transformers-2.0")
    assert con.execute(sql).fetchall() != before


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("nothing/model.safetensors", OptionError, "does not exist"),
        ("~/no such folder", OptionError, "does not exist"),
        ("C:\\\\timesfm", OptionError, "does not exist"),
        ("timesfm.ckpt", NotSupportedError, "safetensors files only"),
        ("other", OptionError, "MODEL must be TimesFM 2.0, TimesFM 2.5 or the path"),
        ("TimesFM 3.0", OptionError, "MODEL must be TimesFM 2.0, TimesFM 2.5 or the path"),
    ],
)
def test_wrong_models_are_marked(con, model, kind, message):
    for function in ("AI.FORECAST(TABLE t", "AI.EVALUATE(TABLE t, TABLE t", "AI.DETECT_ANOMALIES(TABLE t, TABLE t"):
        with pytest.raises(kind, match=message) as caught:
            con.execute(f"SELECT * FROM {function}, {SERIES}, model => '{model}')")
        assert caught.value.source[caught.value.span.start : caught.value.span.end] == f"'{model}'"
    if "/" in model:
        with pytest.raises(kind, match=message) as caught:
            con.execute(f"SET sqlml.timesfm = '{model}'")
        assert caught.value.source[caught.value.span.start : caught.value.span.end] == f"'{model}'"


def test_a_wrong_tensor_is_told_before_rows_are_read(con, tmp_path):
    models.write(tmp_path, "timesfm-2.5", {"stacked_xf.0.ff1.weight": None})
    with pytest.raises(FormatError, match=r"stacked_xf.0.ff1.weight, which is missing"):
        con.execute(f"EXPLAIN SELECT * FROM AI.FORECAST(TABLE t, {SERIES}, model => '{tmp_path}')")


def test_without_torch(con, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NotSupportedError, match="torch, which is not installed") as caught:
        con.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}, model => '{folders['timesfm-2.5']}')")
    assert caught.value.hint == 'pip install "sqlml[torch]"'
    assert "ARIMA_PLUS" in str(con.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES})").messages[0][1])


def test_files_that_statements_may_not_read(folders):
    opened = {"enable_external_access": "false"}
    with sqlml.connect(config=opened, timesfm=folders["timesfm-2.5"]) as con:
        con.duckdb.execute(
            "CREATE TABLE t AS SELECT DATE '2024-01-01' + i::INTEGER AS d, sin(i) AS v FROM range(50) r(i)"
        )
        assert len(con.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {COUNTS})").fetchall()) == 10
        for sql in (
            f"SELECT * FROM AI.FORECAST(TABLE t, {COUNTS}, model => '{folders['transformers-2.5']}')",
            f"SET sqlml.timesfm = '{folders['timesfm-2.0']}'",
            "SET sqlml.timesfm = '/nothing/at/all'",
        ):
            with pytest.raises(NotSupportedError, match="where DuckDB's settings let statements read files"):
                con.execute(sql)
        assert len(con.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {COUNTS})").fetchall()) == 10
    with sqlml.connect() as con:
        con.execute(f"SET allowed_directories = ['{folders['timesfm-2.5']}']")
        con.execute("SET enable_external_access = false")
        con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
        with pytest.raises(NotSupportedError):
            con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.0']}'")


def test_history_end_and_limit(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    rows = table(
        con, f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}, horizon => 3, output_historical_time_series => TRUE)"
    )
    kinds = [r["time_series_type"] for r in rows if r["id"] == "b"]
    assert kinds == ["history"] * 40 + ["forecast"] * 3
    history = [r["time_series_data"] for r in rows if r["id"] == "b"][:40]
    np.testing.assert_allclose(history, values_of(con, "b"))  # the gap is interpolated
    end = f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}, forecast_end_timestamp => TIMESTAMP '2024-04-02')"
    assert [r["id"] for r in table(con, f"{end} WHERE forecast_value IS NOT NULL ORDER BY 1, 2")].count("c") == 3
    assert {r["id"] for r in table(con, f"{end} WHERE forecast_value IS NOT NULL")} == {"b", "c", "e"}
    limited = table(con, f"SELECT forecast_value FROM AI.FORECAST(TABLE t, {SERIES}) WHERE id = 'a' LIMIT 2")
    assert len(limited) == 2
    none = f"SELECT * FROM AI.FORECAST((SELECT * FROM t WHERE FALSE), {SERIES})"
    assert con.execute(none).fetchall() == []


def test_context_window_uses_the_end(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.0']}'")
    late = "(SELECT * FROM t WHERE id = 'a' ORDER BY d DESC LIMIT 64)"
    a = con.execute(
        f"SELECT forecast_value FROM AI.FORECAST((SELECT * FROM t WHERE id = 'a'), {COUNTS}, context_window => 64)"
    ).fetchall()
    assert (
        a == con.execute(f"SELECT forecast_value FROM AI.FORECAST({late}, {COUNTS}, context_window => 64)").fetchall()
    )


def test_evaluate_is_the_error_of_the_forecast(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    past, later = (f"(SELECT * FROM t WHERE id = 'a' AND d {x} DATE '2024-10-01')" for x in ("<", ">="))
    (found,) = table(con, f"SELECT * FROM AI.EVALUATE({past}, {later}, {COUNTS})")
    ahead = table(con, f"SELECT * FROM AI.FORECAST({past}, {COUNTS}, horizon => 26)")
    e = values_of(con, "a")[274:] - np.array([r["forecast_value"] for r in ahead])
    assert len(e) == 26
    assert found["mean_absolute_error"] == pytest.approx(np.abs(e).mean())
    assert found["root_mean_squared_error"] == pytest.approx(math.sqrt((e * e).mean()))
    scale = np.abs(np.diff(values_of(con, "a")[:274])).mean()
    assert found["mean_absolute_scaled_error"] == pytest.approx(np.abs(e).mean() / scale)
    (cut,) = table(con, f"SELECT * FROM AI.EVALUATE({past}, {later}, {COUNTS}, horizon => 5)")
    assert cut["mean_absolute_error"] == pytest.approx(np.abs(e[:5]).mean())
    rows = table(con, f"SELECT * FROM AI.EVALUATE(TABLE t, {later}, {SERIES}) ORDER BY id")
    assert rows[1]["ai_evaluate_status"] == "No actual values." and rows[0]["mean_absolute_error"] is None
    assert rows[3]["ai_evaluate_status"] == "The time series data is too short."


def test_anomalies_agree_with_their_bounds(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    for fidelity in ("best", "bigquery"):
        con.execute(f"SET sqlml.fidelity = '{fidelity}'")
        sql = f"SELECT * FROM AI.DETECT_ANOMALIES(TABLE t, {SERIES}, target_last_n_points => 12"
        rows = [r for r in table(con, f"{sql}, anomaly_prob_threshold => 0.5)") if r["id"] in "abc"]
        assert len(rows) == 36 and {r["is_anomaly"] for r in rows} == {True, False}
        for r in rows:
            outside = not r["lower_bound"] <= r["time_series_data"] <= r["upper_bound"]
            assert outside == r["is_anomaly"] == (r["anomaly_probability"] > 0.5)
    constant = [r for r in table(con, f"{sql})") if r["id"] == "e"]
    assert {(r["is_anomaly"], r["anomaly_probability"]) for r in constant} == {(False, 0.0)}
    short = [r for r in table(con, f"{sql})") if r["id"] == "d"]
    assert {r["ai_detect_anomalies_status"] for r in short} <= {"The time series data is too short."}


def test_missing_values_of_the_target(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    target = "(SELECT DATE '2024-10-27' AS d, CAST(NULL AS FLOAT64) AS v UNION ALL SELECT DATE '2024-10-28', 1e6)"
    rows = table(
        con, f"SELECT * FROM AI.DETECT_ANOMALIES((SELECT * FROM t WHERE id = 'a'), {target}, {COUNTS}) ORDER BY 1"
    )
    assert rows[0]["is_anomaly"] is None and rows[0]["lower_bound"] is not None
    assert rows[1]["is_anomaly"] is True and rows[1]["anomaly_probability"] == pytest.approx(1.0)


def test_many_series(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    sql = "(SELECT i AS id, DATE_ADD(DATE '2024-01-01', INTERVAL k DAY) AS d, SIN(k / (1 + MOD(i, 7))) + i AS v"
    sql += " FROM UNNEST(GENERATE_ARRAY(1, 400)) AS i, UNNEST(GENERATE_ARRAY(1, 5 + MOD(i * 37, 60))) AS k)"
    rows = table(con, f"SELECT * FROM AI.FORECAST({sql}, {SERIES}, horizon => 2) ORDER BY id, 2")
    assert [r["id"] for r in rows] == [i for i in range(1, 401) for _ in range(2)]
    one = table(
        con, f"SELECT * FROM AI.FORECAST((SELECT * FROM {sql} WHERE id = 321), {SERIES}, horizon => 2) ORDER BY 2"
    )
    for a, b in zip(rows[640:642], one, strict=True):
        assert a["forecast_value"] == pytest.approx(b["forecast_value"], rel=1e-5)


def test_a_statement_can_be_cancelled(con, folders, monkeypatch):
    """The wish is heard between two layers."""
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    database, inside = con._database, threading.Event()
    check_before = type(database.stop).check

    def slowly(self):
        inside.set()
        deadline = time.monotonic() + 120
        while not self._asked and time.monotonic() < deadline:
            time.sleep(0.01)
        check_before(self)

    monkeypatch.setattr(type(database.stop), "check", slowly)
    thread = threading.Thread(target=lambda: inside.wait(120) and database.stop.ask())
    thread.start()
    try:
        with pytest.raises(Cancelled):
            con.execute(f"SELECT * FROM AI.FORECAST((SELECT * FROM t WHERE id = 'a'), {COUNTS})")
    finally:
        thread.join(120)
    monkeypatch.undo()
    assert len(con.execute(f"SELECT * FROM AI.FORECAST(TABLE t, {SERIES}) WHERE id = 'a'").fetchall()) == 10


def test_views_and_parameters(con, folders):
    con.execute(f"SET sqlml.timesfm = '{folders['timesfm-2.5']}'")
    sql = f"SELECT * FROM AI.FORECAST((SELECT * FROM t WHERE id = ?), {COUNTS}, model => ?, horizon => 2)"
    a = con.execute(sql, ["a", folders["timesfm-2.5"]]).fetchall()
    b = con.execute(
        f"WITH w AS (SELECT * FROM t WHERE id = 'a') SELECT * FROM AI.FORECAST(TABLE w, {COUNTS}, horizon => 2)"
    )
    assert b.fetchall() == a


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("frequency", "code"),
    [
        (Frequency("HOURLY", step=HOUR), 0),
        (Frequency("DAILY", step=DAY), 0),
        (Frequency("WEEKLY", step=7 * DAY), 1),
        (Frequency("MONTHLY", months=1), 1),
        (Frequency("QUARTERLY", months=3), 2),
        (Frequency("YEARLY", months=12), 2),
        (Frequency("CUSTOM", step=2 * DAY), 0),
    ],
)
def test_frequency_codes(frequency, code):
    assert frequency_code(frequency) == code


def test_scores_undo_reaches():
    side = np.array([[0.0, 1.0, 3.0, 3.0, 4.0], [0.0, -1.0, -1.5, -2.0, -8.0], [1.0, 1.0, 1.0, 1.0, 2.0]])
    for z in (0.0, 0.1, 0.3, 0.6, 1.0, 1.3, 3.0):
        distance = _reach(side, z)
        found = _score(side, distance)
        assert (found <= z + 1e-12).all()  # the smallest score where several give the same distance
        np.testing.assert_allclose(_reach(side, 0.0), 0.0)
        for row in range(3):
            assert _reach(side[row : row + 1], float(found[row]))[0] == pytest.approx(distance[row], abs=1e-12)
    flat = np.zeros((2, 5))
    assert _score(flat, np.array([0.0, 1.0])).tolist() == [0.0, math.inf]
    assert math.isnan(_score(flat, np.array([math.nan, 1.0]))[0])


def test_a_normal_forecast_gets_normal_intervals():
    scores = np.array([-1.2815515655446004, -0.8416212335729143, -0.5244005127080407, -0.2533471031357997, 0.0])
    z = np.concatenate([scores, -scores[3::-1]])[None].astype(np.float32)
    whole = [Regular(Frequency("DAILY", step=DAY), 0, np.array([1.0, 2.0, 4.0]), np.zeros(3, bool))]
    for exact in (True, False):
        found = ByDeciles(whole, {0: Deciles(z, 10.0, 2.0, -math.inf)}, exact=exact)
        for level, width in ((0.95, 1.959964), (0.5, 0.674490), (0.9, 1.644854), (0.3, 0.385320)):
            low, high = found.bounds(0, slice(1), level)
            assert high[0] - 10 == pytest.approx(2 * width, abs=0.003) and 10 - low[0] == pytest.approx(high[0] - 10)
            assert found.probability(0, np.array([0]), high)[0] == pytest.approx(level, abs=0.002)
        assert found.naive_error[0] == 1.5
