"""Finding the table functions in SQL text, and leaving a placeholder of the same length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot.tokens import TokenType

from sqlml.errors import ParseError, Span
from sqlml.grammar.lexer import Tok, closing
from sqlml.grammar.nodes import Argument, Query, TableCall

#: Every ML.* and AI.* function that stands in FROM (`kind` "table function" in the published surface).
TABLE_FUNCTIONS = frozenset(
    f"ML.{name}"
    for name in (
        "EVALUATE PREDICT ROC_CURVE CONFUSION_MATRIX WEIGHTS ADVANCED_WEIGHTS FEATURE_INFO FEATURE_IMPORTANCE"
        " TRAINING_INFO TRIAL_INFO CENTROIDS PRINCIPAL_COMPONENTS PRINCIPAL_COMPONENT_INFO RECOMMEND"
        " RECONSTRUCTION_LOSS GLOBAL_EXPLAIN EXPLAIN_PREDICT DETECT_ANOMALIES FORECAST EXPLAIN_FORECAST"
        " ARIMA_EVALUATE ARIMA_COEFFICIENTS HOLIDAY_INFO GET_INSIGHTS TRANSFORM FEATURES_AT_TIME"
        " ENTITY_FEATURES_AT_TIME DESCRIBE_DATA VALIDATE_DATA_SKEW VALIDATE_DATA_DRIFT TFDV_DESCRIBE"
        " DETECT_CHANGE_POINTS TREND SEASONALITY CORRELATION GENERATE_TEXT GENERATE_EMBEDDING ANNOTATE_IMAGE"
        " TRANSLATE UNDERSTAND_TEXT PROCESS_DOCUMENT TRANSCRIBE"
    ).split()
) | frozenset(
    f"AI.{name}"
    for name in (
        "GENERATE_TEXT GENERATE_TABLE GENERATE_EMBEDDING SEARCH FORECAST EVALUATE DETECT_ANOMALIES KEY_DRIVERS"
    ).split()
)

ParseArguments = Callable[[list[Tok], int, int], tuple[Argument, ...]]


@dataclass(slots=True)
class Folder:
    """Cuts calls out of queries; numbers its placeholders through the whole script."""

    text: str
    arguments: ParseArguments
    count: int = field(default=0)

    def query(self, tokens: list[Tok], begin: int, end: int) -> Query:
        """The `Query` of tokens[begin:end]."""
        if begin >= end:
            at = tokens[begin - 1].span if begin else Span(0, 0)
            raise ParseError("a query must follow here.", span=at)
        start, stop = tokens[begin].start, tokens[end - 1].end
        pieces: list[str] = []
        calls: list[TableCall] = []
        copied, i = start, begin
        while i < end:
            found = self._call_name(tokens, i, end)
            if found is None:
                i += 1
                continue
            last = closing(tokens, i + 3, end)
            call = self._call(found, tokens, i, last)
            calls.append(call)
            pieces.append(self.text[copied : tokens[i].start])
            pieces.append(_padded(call.placeholder, self.text[tokens[i].start : tokens[last].end]))
            copied = tokens[last].end
            i = last + 1
        pieces.append(self.text[copied:stop])
        return Query("".join(pieces), tuple(calls), Span(start, stop))

    def _call(self, name: str, tokens: list[Tok], i: int, last: int) -> TableCall:
        args = self.arguments(tokens, i + 3, last + 1)
        placeholder = f"__m{self.count}"
        self.count += 1
        span = Span(tokens[i].start, tokens[last].end)
        return TableCall(name, args, placeholder, span, Span(tokens[i].start, tokens[i + 2].end))

    def _call_name(self, tokens: list[Tok], i: int, end: int) -> str | None:
        """The upper-case name when a table function begins at tokens[i]."""
        if i + 3 >= end or tokens[i].word() not in ("ML", "AI"):
            return None
        if tokens[i + 1].type is not TokenType.DOT or tokens[i + 3].type is not TokenType.L_PAREN:
            return None
        if i and tokens[i - 1].type is TokenType.DOT:
            return None
        name = f"{tokens[i].word()}.{tokens[i + 2].text.upper()}"
        if name in TABLE_FUNCTIONS:
            return name
        # An unknown function in FROM is refused by the planner, with the nearest name.
        return name if i and tokens[i - 1].word() in ("FROM", "JOIN") else None


def _padded(placeholder: str, text: str) -> str:
    """The placeholder, then blanks; line breaks stay where they were."""
    rest = "".join(c if c == "\n" else " " for c in text[len(placeholder) :])
    if "\n" in text[: len(placeholder)]:
        rest = "\n" * text[: len(placeholder)].count("\n") + rest
    return placeholder + rest
