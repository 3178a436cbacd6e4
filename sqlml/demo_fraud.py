"""Card transactions with a fixed seed, and the fraud model over them.

`make` gives the transactions as an Arrow table, `tables` puts them into `dataset.transactions_train` and
`dataset.transactions_test`, `STATEMENTS` is the demonstration. The data are invented; the share of fraud is about
three in a hundred, and no rule finds all of it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import sqlml
from sqlml.arrow import floats, integers, texts

ROWS = 30_000
TEST_ROWS = 6_000
SEED = 20_240_501

#: Category and how much likelier fraud is there, on the log odds.
MERCHANTS = {
    "grocery": -0.8,
    "restaurant": -0.5,
    "fuel": 0.0,
    "travel": 0.5,
    "electronics": 1.1,
    "gift cards": 1.9,
    "clothing": -0.2,
    "online games": 0.9,
}
COUNTRIES = ("home", "neighbour", "overseas")

STATEMENTS = (
    """\
CREATE OR REPLACE MODEL dataset.fraud_model
OPTIONS(model_type='BOOSTED_TREE_CLASSIFIER',
        num_parallel_tree = 1,
        max_iterations = 50,
        input_label_cols = ['is_fraud']) AS
SELECT * EXCEPT (transaction_id)
FROM dataset.transactions_train""",
    """\
SELECT * FROM ML.EVALUATE(MODEL dataset.fraud_model,
  (SELECT * EXCEPT (transaction_id) FROM dataset.transactions_test))""",
    """\
SELECT transaction_id, amount, merchant, predicted_is_fraud, ROUND(p.prob, 3) AS probability
FROM ML.PREDICT(MODEL dataset.fraud_model, TABLE dataset.transactions_test),
  UNNEST(predicted_is_fraud_probs) AS p
WHERE p.label ORDER BY p.prob DESC LIMIT 5""",
    """\
SELECT * FROM ML.FEATURE_IMPORTANCE(MODEL dataset.fraud_model)
ORDER BY importance_gain DESC LIMIT 5""",
)


def make(rows: int = ROWS, seed: int = SEED) -> pa.Table:
    """Invented card transactions: the same for the same seed."""
    rng = np.random.default_rng(seed)
    amount = np.round(np.exp(rng.normal(3.4, 1.1, rows)), 2)
    hour = rng.choice(24, rows, p=_hours())
    merchant = rng.choice(len(MERCHANTS), rows, p=[0.27, 0.19, 0.15, 0.06, 0.08, 0.03, 0.14, 0.08])
    country = rng.choice(len(COUNTRIES), rows, p=[0.9, 0.06, 0.04])
    distance = np.round(rng.gamma(1.2, 9.0, rows) * np.array([1.0, 15.0, 260.0])[country], 1)
    age_days = rng.integers(1, 3000, rows)
    previous = rng.poisson(2.2, rows)
    present = rng.random(rows) < 0.7
    risk = np.array(list(MERCHANTS.values()))
    night = (hour < 5).astype(np.float64)
    odds = (
        -6.2 + np.log(amount) - 3.4 + 1.4 * risk[merchant] + 1.6 * night + 1.4 * (country > 0) + 1.6 * (country > 1)
        + 2.0 * (previous >= 6) + 2.4 * (age_days < 120) + 1.4 * ~present + 3.0 * night * (amount > 80.0)
        + 3.0 * (merchant == 5) * (age_days < 400)
    )  # fmt: skip
    fraud = rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))
    known = rng.random(rows) < 0.96  # the place of some transactions is not known
    return pa.table(
        {
            "transaction_id": integers(np.arange(rows) + 1),
            "amount": floats(amount),
            "hour_of_day": integers(hour),
            "merchant": texts([list(MERCHANTS)[i] for i in merchant]),
            "country": texts([COUNTRIES[i] for i in country]),
            "km_from_home": pa.array(
                [float(d) if k else None for d, k in zip(distance, known, strict=True)], pa.float64()
            ),
            "account_age_days": integers(age_days),
            "transactions_last_day": integers(previous),
            "card_present": pa.array(present.tolist(), pa.bool_()),
            "is_fraud": pa.array(fraud.tolist(), pa.bool_()),
        }
    )


def _hours() -> list[float]:
    weights = np.array([1.0] * 6 + [2.0, 4.0, 6.0] + [7.0] * 11 + [5.0, 4.0, 3.0, 2.0])
    return list(weights / weights.sum())


def tables(con: sqlml.Connection) -> None:
    """Make `dataset.transactions_train` and `dataset.transactions_test`."""
    con.duckdb.register("made_transactions", make())
    con.duckdb.execute("CREATE SCHEMA IF NOT EXISTS dataset").fetchall()
    for name, test in (
        ("transactions_train", f"<= {ROWS - TEST_ROWS}"),
        ("transactions_test", f"> {ROWS - TEST_ROWS}"),
    ):
        select = f"SELECT * FROM made_transactions WHERE transaction_id {test}"
        con.duckdb.execute(f"CREATE OR REPLACE TABLE dataset.{name} AS {select}").fetchall()
    con.duckdb.unregister("made_transactions")


def run(con: sqlml.Connection) -> None:
    """The tables, the model, and what it finds; nothing is printed."""
    tables(con)
    for sql in STATEMENTS:
        cursor = con.execute(sql)
        if cursor.description is not None:
            cursor.fetchall()
