"""The fraud model of the demonstration, statement by statement."""

from __future__ import annotations

import pyarrow.compute as pc

from sqlml import demo_fraud


def test_transactions_are_the_same_for_the_same_seed():
    one, two, other = demo_fraud.make(500), demo_fraud.make(500), demo_fraud.make(500, seed=1)
    assert one.equals(two) and not one.equals(other)
    assert 0.01 < pc.mean(demo_fraud.make()["is_fraud"].cast("int8")).as_py() < 0.06


def test_the_model_finds_fraud(con):
    demo_fraud.run(con)
    rows = con.execute("SELECT COUNT(*), COUNTIF(is_fraud) FROM dataset.transactions_train").fetchall()[0]
    assert rows[0] == demo_fraud.ROWS - demo_fraud.TEST_ROWS and rows[1] > 300
    evaluated = con.execute(demo_fraud.STATEMENTS[1]).fetchall()[0]
    assert evaluated[5] > 0.85  # roc_auc
    top = con.execute(demo_fraud.STATEMENTS[2]).fetchall()
    assert len(top) == 5 and all(r[3] is True for r in top)
    assert len(con.execute(demo_fraud.STATEMENTS[3]).fetchall()) == 5
