"""Names of models that are words of the language; options given by parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

import sqlml
from sqlml.errors import NameError, OptionError, ParseError

CREATE = "CREATE OR REPLACE MODEL {} OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT 1 AS x, 2.0 AS y UNION ALL SELECT 2, 4.0"


@pytest.mark.parametrize("word", ["select", "Order", "WITH", "hash"])
def test_reserved_words_are_names_in_backticks_only(word: str) -> None:
    with sqlml.connect() as con:
        sql = CREATE.format(word)
        with pytest.raises(ParseError, match=f"{word} is a reserved word") as caught:
            con.execute(sql)
        span = caught.value.span
        assert span is not None
        assert sql[span.start : span.end] == word
        con.execute(CREATE.format(f"`{word}`"))
        con.execute(f"CREATE SCHEMA d; {CREATE.format(f'd.{word}')}")
        names = con.execute("SHOW MODELS").arrow().column("name").to_pylist()
        assert names == [word, word]


@pytest.mark.parametrize("name", ["selected", "model", "models", "options", "table1"])
def test_other_words(name: str) -> None:
    with sqlml.connect() as con:
        con.execute(CREATE.format(name))


def test_a_project_that_begins_with_a_reserved_word() -> None:
    with sqlml.connect() as con, pytest.raises(NameError, match="dataset"):
        con.execute(CREATE.format("new-project.missing.m"))


def test_export_data_with_parameters(tmp_path: Path) -> None:
    with sqlml.connect() as con:
        path = tmp_path / "a.csv"
        con.execute(
            "EXPORT DATA OPTIONS(uri=@path, format='CSV', header=@head) AS SELECT @x AS x",
            {"path": str(path), "head": False, "x": 7},
        )
        assert path.read_text() == "7\n"
        con.execute("EXPORT DATA OPTIONS(uri=?, format=?, overwrite=TRUE) AS SELECT ? AS x", [str(path), "csv", 8])
        assert path.read_text() == "x\n8\n"
        con.execute(f"DECLARE f STRING DEFAULT '{path}'; EXPORT DATA OPTIONS(uri=f, overwrite=TRUE) AS SELECT 9 AS x")
        assert path.read_text() == "x\n9\n"
        with pytest.raises(OptionError, match="must have the option uri with a string"):
            con.execute("EXPORT DATA OPTIONS(uri=@path) AS SELECT 1 AS x", {"path": 5})
