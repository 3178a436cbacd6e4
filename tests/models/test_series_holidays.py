"""Holiday regions, the public table of holidays, and where a wrong option value stands."""

from __future__ import annotations

import pytest

from sqlml.errors import Error
from sqlml.kernels.regions import COUNTRIES, REGIONS, nearest_region

TABLE = "`bigquery-public-data.ml_datasets.holidays_and_events_for_forecasting`"
HEAD = "CREATE MODEL m OPTIONS(model_type='ARIMA_PLUS', time_series_timestamp_col='t', time_series_data_col='y'"


@pytest.fixture
def days(con):
    """Three years of daily values that stand out on the 4th of July."""
    con.execute("""CREATE TABLE days AS
        SELECT t, 100 + MOD(i * 7919, 13) / 10 + IF(FORMAT_DATE('%m%d', t) = '0704', 50, 0) AS y
        FROM (SELECT DATE_ADD(DATE '2018-01-01', INTERVAL i DAY) AS t, i FROM UNNEST(GENERATE_ARRAY(0, 1000)) AS i)""")
    return con


@pytest.mark.parametrize(
    ("written", "meant"),
    [("us", "US"), ("USA", "US"), ("UK", "GB"), ("Germany", "DE"), ("germnay", "DE"), ("Europe", "EMEA"), ("XX", None)],
)
def test_the_region_that_is_meant(written, meant):
    assert nearest_region(written) == meant


def test_every_documented_country_is_a_region():
    assert {"NG", "PK"} < set(COUNTRIES) < REGIONS and len(COUNTRIES) == 62


@pytest.mark.parametrize(
    ("option", "word", "hint"),
    [
        ("HOLIDAY_REGION=['US', 'UK']", "'UK'", "did you mean 'GB'"),
        ("HOLIDAY_REGION='XX'", "'XX'", "a country such as US"),
        ("SEASONALITIES=['DAILY', 'FORTNIGHTLY']", "'FORTNIGHTLY'", None),
        ("AUTO_ARIMA=FALSE, NON_SEASONAL_ORDER=(1, 3, 0)", "3", None),
        ("HIERARCHICAL_TIME_SERIES_COLS=['nothing']", "'nothing'", None),
    ],
)
def test_the_caret_is_under_the_value(days, option, word, hint):
    text = f"{HEAD}, {option}) AS SELECT * FROM days"
    with pytest.raises(Error) as error:
        days.execute(text)
    assert text[error.value.span.start : error.value.span.end] == word
    assert hint is None or hint in (error.value.hint or "")


def test_the_table_of_holidays(con):
    found = con.execute(f"""SELECT holiday_name, preholiday_days, postholiday_days FROM {TABLE}
        WHERE region = 'US' AND primary_date BETWEEN '2022-12-20' AND '2022-12-31'""").fetchall()
    assert found == [("Christmas", 10, 1)]
    count = f"SELECT COUNT(DISTINCT region), COUNT(*), COUNT(DISTINCT CONCAT(region, holiday_name, primary_date)) FROM {TABLE}"
    ((regions, rows, different),) = con.execute(count).fetchall()
    assert regions == len(REGIONS) - 1 and rows == different  # CS stands for RS


def test_some_of_the_built_in_holidays(days):
    days.execute(f"""{HEAD}, horizon=400) AS (
        training_data AS (SELECT * FROM days),
        custom_holiday AS (SELECT * FROM {TABLE} WHERE region = 'US' AND holiday_name NOT IN ('Christmas', 'NewYear')))""")
    names = {r[0] for r in days.execute("SELECT DISTINCT holiday_name FROM ML.HOLIDAY_INFO(MODEL m)").fetchall()}
    assert "Halloween" in names and not names & {"Christmas", "NewYear"}
    found = days.execute("""SELECT CAST(DATE(time_series_timestamp) AS STRING), holiday_effect_IndependenceDay
        FROM ML.EXPLAIN_FORECAST(MODEL m, STRUCT(400 AS horizon)) WHERE holiday_effect != 0 ORDER BY 1""").fetchall()
    assert [r[0] for r in found] == ["2018-07-04", "2019-07-04", "2020-07-04", "2021-07-04"]
    assert all(r[1] == pytest.approx(50, abs=2) for r in found)
