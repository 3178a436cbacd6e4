"""The rules of the house that no linter checks: sizes, forbidden calls, docstrings."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = sorted((ROOT / "sqlml").rglob("*.py"))
#: Kept as it was published, outside this repository.
FOREIGN = ROOT / "tests" / "parity" / "run_parity.py"
EVERYTHING = sorted(
    path
    for top in ("sqlml", "tests", "benchmarks")
    for path in (ROOT / top).rglob("*.py")
    if path.is_file() and path != FOREIGN
)
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
OWNERS = {"duckdb": ("database",), "lark": ("grammar",), "sqlglot": ("grammar", "translate", "transform")}


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(tree: ast.Module) -> set[str]:
    """Top-level names of everything imported anywhere in the module, but for type checkers alone."""
    found: set[str] = set()
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_tree_was_found() -> None:
    assert len(PACKAGE) > 5
    assert ROOT / "tests" / "test_house.py" in EVERYTHING


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_sizes(path: pathlib.Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines < 500, f"{name_of(path)} has {lines} lines: look for the second thing it does"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length < 80, f"{name_of(path)}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_nothing_unsafe(path: pathlib.Path) -> None:
    tree = tree_of(path)
    assert not imports_of(tree) & FORBIDDEN_IMPORTS
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr == "import_module":
            pytest.fail(f"{name_of(path)}:{node.lineno} imports a module by a computed name")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            flags = {k.arg: ast.unparse(k.value) for k in node.keywords}
            assert flags.get("weights_only") == "True", f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_owners_of_libraries(path: pathlib.Path) -> None:
    room = path.relative_to(ROOT / "sqlml").parts[0].removesuffix(".py")
    for library in imports_of(tree_of(path)) & OWNERS.keys():
        assert room in OWNERS[library], f"{name_of(path)} imports {library}"


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_no_swallowed_errors(path: pathlib.Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            silent = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not (broad and silent), f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_public_docstrings(path: pathlib.Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), f"{name_of(path)} does not say what it owns"
    missing = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not missing, f"{name_of(path)}: no docstring on {', '.join(missing)}"


def test_no_path_of_one_machine() -> None:
    marks = tuple("/" + top + "/" for top in ("work", "root", "farm"))
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*")]
    for path in [*EVERYTHING, *pages]:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert not any(mark in text for mark in marks), name_of(path)
