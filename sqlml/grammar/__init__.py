"""Text -> statements.

`parse(text)` splits a script at its semicolons and gives one node per statement, each with its
span. Statements about models are read by a lark grammar over sqlglot's tokens; everything else is
SQL, from which only the ML.* and AI.* table functions are cut out (the rest of the text stays
as the user wrote it, at the same offsets). This package owns syntax alone: it knows no
model type, no option and no database. It is the only place that imports lark.
"""

from sqlml.grammar.build import parse, parse_fields, parse_one
from sqlml.grammar.nodes import (
    AlterModel,
    Array,
    Call,
    CreateModel,
    DropModel,
    Explain,
    ExportModel,
    Fragment,
    Literal,
    ModelArgument,
    Name,
    NamedArgument,
    Option,
    Parameter,
    Query,
    QueryArgument,
    SetSetting,
    ShowModels,
    SqlStatement,
    Statement,
    Struct,
    TableArgument,
    TableCall,
    Value,
    ValueArgument,
)
from sqlml.grammar.values import constant

__all__ = [
    "AlterModel",
    "Array",
    "Call",
    "CreateModel",
    "DropModel",
    "Explain",
    "ExportModel",
    "Fragment",
    "Literal",
    "ModelArgument",
    "Name",
    "NamedArgument",
    "Option",
    "Parameter",
    "Query",
    "QueryArgument",
    "SetSetting",
    "ShowModels",
    "SqlStatement",
    "Statement",
    "Struct",
    "TableArgument",
    "TableCall",
    "Value",
    "ValueArgument",
    "constant",
    "parse",
    "parse_fields",
    "parse_one",
]
