"""Writes the pages of docs/ and the tables of README.md from the declarations in the code.

`python docs/generate.py` writes; `--check` says what is out of date and fails. Options, ranges and
sentences come from `MODELS` and `FUNCTIONS`; the columns of a function are those that it really
returned for a small model of each type, trained here.
"""

from __future__ import annotations

import pathlib
import runpy
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from examples import ALSO_TO_TRAIN, CALLS, MODELS_TO_TRAIN, TABLES

import sqlml
from sqlml.functions import FUNCTIONS
from sqlml.models import ELSEWHERE, MODELS
from sqlml.options import REQUIRED, Declaration, declarations

ROOT = pathlib.Path(__file__).resolve().parents[1]
#: Function -> model type -> (column, type): what the sample calls returned.
COLUMNS: dict[str, dict[str, list[tuple[str, str]]]] = {}
#: Every model type once, under its first name.
TYPES = {name: model for name, model in MODELS.items() if model.names[0] == name}
NOTE = "<!-- Written by docs/generate.py from the code. Do not edit. -->\n"
PARITY = ROOT / "tests" / "parity"


def main() -> int:
    """Write the files, or compare them."""
    pages = dict(all_pages())
    stale = [
        path
        for path, text in pages.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding="utf-8") != text
    ]
    known = set(pages)
    stale += [
        str(path.relative_to(ROOT))
        for path in (ROOT / "docs").rglob("*.md")
        if str(path.relative_to(ROOT)) not in known and NOTE in path.read_text(encoding="utf-8")
    ]
    if "--check" in sys.argv:
        sys.stdout.write("".join(f"out of date: {path}\n" for path in stale))
        return 1 if stale else 0
    for path in stale:
        if path in pages:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(pages[path], encoding="utf-8")
        else:
            (ROOT / path).unlink()
    return 0


def all_pages() -> Iterator[tuple[str, str]]:
    """(path, text) of every generated page."""
    COLUMNS.update(returned_columns())
    yield "docs/README.md", index_page()
    for name in TYPES:
        yield f"docs/models/{name.lower()}.md", model_page(name)
    yield "docs/functions.md", functions_page()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = replaced(readme, "<!-- generated: models x functions -->", "<!-- end of generated -->", matrix())
    yield "README.md", replaced(readme, "<!-- generated: fidelity -->", "<!-- end of fidelity -->", fidelity())


def replaced(text: str, begin: str, end: str, inside: str) -> str:
    """The text with what stands between two marks put in anew."""
    head, rest = text.split(begin, 1)
    return f"{head}{begin}\n{inside}{end}{rest.split(end, 1)[1]}"


# ---------------------------------------------------------------- pages


def index_page() -> str:
    """The list of pages."""
    lines = [NOTE, "# sqlml: reference\n", "## Model types\n"]
    lines += [f"* [{name}](models/{name.lower()}.md): {model.doc}" for name, model in TYPES.items()]
    lines += ["\n## Functions\n", "[All table functions](functions.md), with their settings and columns.\n"]
    lines += ["[Forecasts by TimesFM](timesfm.md): where its weights come from, and how they are named.\n"]
    lines += ["[Fidelity](fidelity.md): where 'bigquery' keeps the service's habits, and 'best' does better.\n"]
    lines += ["## Not here\n", "Model types of BigQuery ML that are parsed and refused, with the reason:\n"]
    lines += [f"* `{name}`: {reason}" for name, reason in ELSEWHERE.items()]
    return "\n".join(lines) + "\n"


def model_page(name: str) -> str:
    """Options of one model type and the functions that it answers."""
    model = MODELS[name]
    options = declarations(model.options)
    supported = [d for d in options.values() if not d.unsupported]
    refused = [d for d in options.values() if d.unsupported]
    lines = [NOTE, f"# {name}\n", f"{model.doc}\n", f"Task: {model.task.value}.\n"]
    if len(model.names) > 1:
        lines.append(f"Also written {', '.join(model.names[1:])}.\n")
    if name in MODELS_TO_TRAIN:
        lines += ["```sql", MODELS_TO_TRAIN[name].strip() + ";", "```\n"]
    lines += [
        "## Options\n",
        "| option | type | default | values | tuning | meaning |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [option_line(d) for d in supported]
    if refused:
        lines += ["\n## Options of BigQuery ML that are refused\n", "| option | why |", "| --- | --- |"]
        lines += [f"| `{d.sql}` | {escaped(d.unsupported or '')} |" for d in refused]
    answered = [f for f in FUNCTIONS.values() if f.model and answers(f, name, model)]
    lines += ["\n## Functions\n"]
    lines += [f"* [`{f.name}`](../functions.md#{anchor(f.name)}): {f.doc}" for f in answered]
    return "\n".join(lines) + "\n"


def functions_page() -> str:
    """Every table function: settings, model types, columns."""
    lines = [NOTE, "# Table functions\n"]
    for function in FUNCTIONS.values():
        lines += [f"## {function.name}\n", f"{function.doc}\n", f"    {signature(function)}\n"]
        for form in (function, *function.forms):
            settings = declarations(form.settings)
            if not settings:
                continue
            if function.forms:
                served = [n for n, m in TYPES.items() if function.form(m) is form and answers(function, n, m)]
                lines.append(f"For {', '.join(served)}:\n")
            lines += ["| setting | type | default | values | meaning |", "| --- | --- | --- | --- | --- |"]
            lines += [
                f"| `{d.name}` | {d.sql_type} | {default_of(d)} | {values_of(d)} | {escaped(d.doc)} |"
                for d in settings.values()
            ]
            lines.append("")
        if function.model:
            types = [name for name, model in TYPES.items() if answers(function, name, model)]
            lines.append("Model types: " + ", ".join(f"[{t}](models/{t.lower()}.md)" for t in types) + ".\n")
        for owners, found in grouped(COLUMNS.get(function.name, {})):
            lines += [f"Columns{f' for {owners}' if owners else ''}:\n", "| column | type |", "| --- | --- |"]
            lines += [f"| `{name}` | {kind} |" for name, kind in found]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def matrix() -> str:
    """The table model types x functions of the README."""
    functions = [f for f in FUNCTIONS.values() if f.model]
    names = [f.name.removeprefix("ML.") for f in functions]
    lines = ["| | " + " | ".join(f"`{n}`" for n in names) + " |", "| --- |" + " :-: |" * len(names)]
    for name, model in TYPES.items():
        marks = ["x" if answers(f, name, model) else "" for f in functions]
        lines.append(f"| [{name}](docs/models/{name.lower()}.md) | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"


def answers(function: Any, name: str, model: Any) -> bool:
    """Whether a function works on a model type: the sample call gave rows, or there is no sample."""
    if not function.form(model).works_on(model):
        return False
    calls = CALLS[function.name]
    sampled = name in MODELS_TO_TRAIN and (name in calls or "" in calls)
    return not sampled or name in COLUMNS.get(function.name, {})


def fidelity() -> str:
    """The cases with numbers of the real service: how many of each sort are met."""
    sys.path.insert(0, str(ROOT))  # the test imports its neighbours from the root of the repository
    test = runpy.run_path(str(PARITY / "test_parity.py"))
    cases, not_met = test["CASES"], test["NOT_MET"]
    kinds = {
        "exact": "exact",
        **dict.fromkeys(("optimizer", "approx", "stochastic"), "tolerance"),
        **dict.fromkeys(("shape", "property"), "shape"),
    }
    counts: dict[str, dict[str, list[int]]] = {}
    for case in cases:
        row = counts.setdefault(case["family"], {kind: [0, 0] for kind in ("exact", "tolerance", "shape")})
        row[kinds[case["determinism"]]][1] += 1
        row[kinds[case["determinism"]]][0] += case["id"] not in not_met
    lines = ["| family | exact | tolerance | shape |", "| --- | --- | --- | --- |"]
    for family, row in counts.items():
        cells = [f"{met} of {total}" if total else "" for met, total in row.values()]
        lines.append(f"| {family} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- words


def signature(function: Any) -> str:
    """How a call is written."""
    parts = ["MODEL name"] if function.model else []
    if function.data != "none":
        data = "{TABLE name | (query)}"
        parts.append(data if function.data == "required" else f"[{data}]")
    parts += [f"{source} => {{TABLE name | (query)}}" for source in function.sources]
    if function.array:
        parts.append("[ARRAY]")
    if declarations(function.settings):
        parts.append("[STRUCT(value AS setting, ...)]")
    return f"{function.name}({', '.join(parts)})"


def option_line(d: Declaration) -> str:
    """A row of the options table."""
    return f"| `{d.sql}` | {d.sql_type} | {default_of(d)} | {values_of(d)} | {tuning_of(d)} | {escaped(d.doc)} |"


def default_of(d: Declaration) -> str:
    """The default in SQL."""
    if d.default is REQUIRED:
        return "required"
    if d.default is None or d.default == ():
        return ""
    if isinstance(d.default, bool):
        return "TRUE" if d.default else "FALSE"
    if isinstance(d.default, tuple):
        return escaped(str(list(d.default)))
    return f"'{d.default}'" if isinstance(d.default, str) else f"{d.default}"


def values_of(d: Declaration) -> str:
    """Allowed words or range."""
    if d.choices:
        return ", ".join(d.choices)
    parts = [
        f"{sign} {bound:g}"
        for sign, bound in ((">=", d.low), (">", d.above), ("<=", d.high), ("<", d.below))
        if bound is not None
    ]
    return ", ".join(parts)


def tuning_of(d: Declaration) -> str:
    """Default search space."""
    if d.tune is None:
        return ""
    if d.tune.candidates:
        return escaped(", ".join(str(c) for c in d.tune.candidates))
    return f"{d.tune.low:g} to {d.tune.high:g}" if d.tune.low is not None and d.tune.high is not None else "yes"


def escaped(text: str) -> str:
    """Text inside a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def anchor(name: str) -> str:
    """The anchor of a heading."""
    return name.lower().replace(".", "")


def grouped(by_type: dict[str, list[tuple[str, str]]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Model types that return the same columns together."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, columns in by_type.items():
        found.setdefault(tuple(columns), []).append(name)
    for columns, names in found.items():
        yield ("" if names == [""] or len(found) == 1 else ", ".join(names)), list(columns)


# ---------------------------------------------------------------- what functions return


def returned_columns() -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Function -> model type -> (column, type), from calls on small models."""
    con = sqlml.connect()
    for sql in TABLES:
        con.duckdb.execute(sql).fetchall()
    found: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for name, sql in MODELS_TO_TRAIN.items():
        if name in TYPES:
            con.execute(sql)
    for sql in ALSO_TO_TRAIN:
        con.execute(sql)
    for function in FUNCTIONS.values():
        calls = CALLS[function.name]
        if not function.model:
            found[function.name] = {"": columns_of(con, calls[""])}
            continue
        for name, model in TYPES.items():
            call = calls.get(name) or calls.get("")
            if not function.form(model).works_on(model) or call is None or name not in MODELS_TO_TRAIN:
                continue
            try:
                columns = columns_of(con, call.format(model=name.lower()))
            except sqlml.Error as error:  # the type has the method and refuses: the tables show it as absent
                sys.stderr.write(f"{function.name} refuses {name}: {error.message}\n")
            else:
                found.setdefault(function.name, {})[name] = columns
    return found


def columns_of(con: sqlml.Connection, sql: str) -> list[tuple[str, str]]:
    """Names and types of a query."""
    schema = con.execute(sql).reader(1000).schema
    return [(field.name, google(field.type)) for field in schema]


def google(kind: pa.DataType) -> str:
    """An Arrow type in GoogleSQL."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"ARRAY<{google(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "STRUCT<" + ", ".join(f"{field.name} {google(field.type)}" for field in kind) + ">"
    for test, name in (
        (pa.types.is_integer, "INT64"),
        (pa.types.is_floating, "FLOAT64"),
        (pa.types.is_boolean, "BOOL"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_binary, "BYTES"),
        (pa.types.is_decimal, "NUMERIC"),
    ):
        if test(kind):
            return name
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    return "STRING"


if __name__ == "__main__":
    sys.exit(main())
