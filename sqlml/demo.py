"""`python -m sqlml.demo`: the main job on real data, every statement printed before its result."""

from __future__ import annotations

import pathlib
import shutil
import time

import sqlml
from sqlml import demo_fraud
from sqlml.render import Style, TableLines
from sqlml.schema import quote_literal

PENGUINS = pathlib.Path(__file__).parent / "data" / "penguins.csv"
BATCH_ROWS = 10_000

STATEMENTS = (
    """\
CREATE OR REPLACE MODEL penguin_mass
OPTIONS (model_type = 'LINEAR_REG', input_label_cols = ['body_mass_g']) AS
SELECT * FROM penguins WHERE body_mass_g IS NOT NULL""",
    "SELECT * FROM ML.EVALUATE(MODEL penguin_mass)",
    """\
SELECT species, sex, body_mass_g, predicted_body_mass_g
FROM ML.PREDICT(MODEL penguin_mass, (SELECT * FROM penguins WHERE island = 'Biscoe'))
LIMIT 5""",
    "SELECT * FROM ML.WEIGHTS(MODEL penguin_mass)",
    """\
CREATE OR REPLACE MODEL penguin_sex
OPTIONS (model_type = 'LOGISTIC_REG', input_label_cols = ['sex']) AS
SELECT * FROM penguins WHERE sex IN ('MALE', 'FEMALE')""",
    "SELECT * FROM ML.EVALUATE(MODEL penguin_sex)",
    "SELECT * FROM ML.CONFUSION_MATRIX(MODEL penguin_sex)",
    """\
SELECT * FROM ML.ROC_CURVE(MODEL penguin_sex,
  (SELECT * FROM penguins WHERE sex IN ('MALE', 'FEMALE')), [0.1, 0.3, 0.5, 0.7, 0.9])""",
    *demo_fraud.STATEMENTS,
)


def main() -> None:
    """Load the penguins and make the transactions, train three models, ask them."""
    start = time.perf_counter()
    con = sqlml.connect()
    types = ", ".join(
        f"{name}: 'DOUBLE'" for name in ("culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g")
    )
    source = f"read_csv({quote_literal(str(PENGUINS))}, types = {{{types}}})"
    con.duckdb.execute(f"CREATE TABLE penguins AS SELECT * FROM {source}").fetchall()
    print("The table penguins has", con.execute("SELECT COUNT(*) FROM penguins").fetchall()[0][0], "rows.\n")
    demo_fraud.tables(con)
    width = shutil.get_terminal_size((120, 40)).columns
    for sql in STATEMENTS:
        print(sql + ";\n")
        cursor = con.execute(sql)
        if cursor.description is not None:
            for line in TableLines(cursor.reader(BATCH_ROWS), Style(width=width)):
                print(line)
            print()
    con.close()
    print(f"Done in {time.perf_counter() - start:.2f} seconds. Next: .venv/bin/sqlml opens the shell.")


if __name__ == "__main__":
    main()
