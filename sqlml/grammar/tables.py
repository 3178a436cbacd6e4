"""The parser's tables: kept beside the grammar as JSON, because making them takes a tenth of a second.

`make grammar` writes the file again after a change of the grammar.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import pathlib
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import Lexer as LarkLexer
from lark.lexer import TerminalDef

STARTS = ("create_model", "alter_model", "drop_model", "export_model", "show_models", "set_setting", "arguments")
GRAMMAR, TABLES = "sqlml.lark", "tables.json"


class Given(LarkLexer):
    """A lexer for tokens that exist already."""

    def __init__(self, conf: object):
        del conf

    def lex(self, data: Any, parser_state: Any = None) -> Any:
        """The tokens themselves."""
        return data


def parser() -> lark.Lark:
    """The parser, from the kept tables when they are of this grammar and the installed lark, else from the grammar."""
    kept = json.loads(_text(TABLES))
    if kept["of"] != _origin():
        return made()
    data, memo = kept["data"], {int(k): v for k, v in kept["memo"].items()}
    data["options"]["lexer"] = data["parser"]["lexer_conf"]["lexer_type"] = Given
    table = data["parser"]["parser"]
    table["tokens"] = {int(k): v for k, v in table["tokens"].items()}
    table["states"] = {int(s): {int(t): tuple(a) for t, a in row.items()} for s, row in table["states"].items()}
    found: lark.Lark = lark.Lark._load_from_dict(data, memo)  # type: ignore[no-untyped-call]
    return found


def made() -> lark.Lark:
    """The parser, from the grammar."""
    return lark.Lark(_text(GRAMMAR), parser="lalr", lexer=Given, start=list(STARTS), maybe_placeholders=False)


def write() -> None:
    """Keep the tables of the grammar."""
    data, memo = made().memo_serialize([TerminalDef, Rule])
    data["options"]["lexer"] = data["parser"]["lexer_conf"]["lexer_type"] = None
    text = json.dumps({"of": _origin(), "data": data, "memo": memo}, sort_keys=True)
    pathlib.Path(__file__).with_name(TABLES).write_text(text + "\n", encoding="utf-8")


def _origin() -> list[str]:
    """What the tables are made of: lark's version and the digest of the grammar."""
    return [lark.__version__, hashlib.sha256(_text(GRAMMAR).encode()).hexdigest()]


def _text(name: str) -> str:
    return importlib.resources.files("sqlml.grammar").joinpath(name).read_text(encoding="utf-8")
