"""The interactive prompt: editing, history, colours, completion."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sqlml.console.script import Token, is_complete, tokens
from sqlml.console.supervise import forget_ctrl_c, take_ctrl_c
from sqlml.shell.names import KEYWORDS, Names, read_names, vocabulary

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.lexers import Lexer

    from sqlml.shell.session import Session

GREETING = "sqlml {version} on {database}. Statements end with ';'. .help lists the commands, .exit leaves."
_WORDS = frozenset(KEYWORDS)


def missing() -> str | None:
    """A sentence when the prompt's library is not installed."""
    try:
        import prompt_toolkit  # noqa: F401
    except ImportError:
        return "the interactive shell needs prompt_toolkit. Install it with: pip install 'sqlml[shell]'"
    return None


def converse(session: Session) -> int:
    """Read and run until the user leaves; returns the exit code."""
    import sqlml

    take_ctrl_c()
    cache = NameCache(session)
    prompt = _prompt(session, cache)
    app = prompt.app

    def failed(error: BaseException) -> None:
        """The database cannot be opened: end the prompt with why."""
        if app.loop is not None:
            app.loop.call_soon_threadsafe(lambda: app.exit(exception=error))

    app.after_render += lambda _: session.opening.start(failed)
    session.tell(GREETING.format(version=sqlml.__version__, database=session.database))
    try:
        return _loop(session, prompt, cache)
    except sqlml.Error as error:
        session.complain(str(error))
        return 1
    finally:
        cache.close()


def _loop(session: Session, prompt: PromptSession[str], cache: NameCache) -> int:
    while not session.ended:
        try:
            text = prompt.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        forget_ctrl_c()
        session.script(text, keep_going=True)
        if session.changed:
            cache.prepare()
    return 0


def history_path() -> pathlib.Path:
    """Where the history is kept: `SQLML_HISTORY`, or the state folder of the XDG rules."""
    if given := os.environ.get("SQLML_HISTORY"):
        return pathlib.Path(given)
    state = os.environ.get("XDG_STATE_HOME") or pathlib.Path.home() / ".local" / "state"
    return pathlib.Path(state) / "sqlml" / "history"


def _prompt(session: Session, cache: NameCache) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.styles import Style

    path = history_path()
    history: History
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        history = FileHistory(str(path))
    except OSError:
        history = InMemoryHistory()
    style = {
        "keyword": "ansiblue bold",
        "function": "ansimagenta bold",
        "string": "ansigreen",
        "number": "ansicyan",
        "comment": "ansibrightblack",
    }
    return PromptSession(
        message="sqlml> ",
        prompt_continuation=lambda width, line, wrapped: "  ...> ".rjust(width),
        multiline=True,
        key_bindings=_keys(),
        history=history,
        lexer=_lexer() if session.color else None,
        style=Style.from_dict(style if session.color else {}),
        completer=_completer(cache),
        complete_while_typing=False,
        enable_history_search=False,
        enable_open_in_editor=True,
    )


def _keys() -> KeyBindings:
    """Enter runs a finished text and begins a new line in an unfinished one; Alt-Enter always runs."""
    from prompt_toolkit.filters import completion_is_selected
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("enter", filter=completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return keys


# ---------------------------------------------------------------- colours


def colored(text: str) -> Iterator[tuple[str, str]]:
    """(class, text) of every token; ML functions and their dot count as one function."""
    parts = tokens(text)
    for i, token in enumerate(parts):
        yield _class_of(parts, i, token), token.text


def _class_of(parts: list[Token], i: int, token: Token) -> str:
    if token.kind in ("string", "number", "comment"):
        return f"class:{token.kind}"
    upper = token.text.upper()
    if upper in ("ML", "AI") and i + 1 < len(parts) and parts[i + 1].text == ".":
        return "class:function"
    if i and parts[i - 1].text.upper() in ("ML", "AI") and token.text == ".":
        return "class:function"
    if i > 1 and parts[i - 1].text == "." and parts[i - 2].text.upper() in ("ML", "AI"):
        return "class:function"
    return "class:keyword" if token.kind == "word" and upper in _WORDS else ""


def _lexer() -> Lexer:
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.formatted_text.utils import split_lines
    from prompt_toolkit.lexers import Lexer

    class SqlLexer(Lexer):
        """Colours the whole text at once, because strings and comments span lines."""

        def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
            lines = list(split_lines(list(colored(document.text))))
            return lambda number: lines[number] if number < len(lines) else []

    return SqlLexer()


# ---------------------------------------------------------------- completion


class NameCache:
    """The database's names, read again after a statement has run, while the next one is being typed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = Names()
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Wait for a reading that is under way, and begin no other."""
        with self._lock:
            self._closed = True

    def prepare(self) -> None:
        """Read in the background."""
        threading.Thread(target=self.get, name="sqlml-names", daemon=True).start()

    def get(self) -> Names:
        """The names; on an error of the database the ones known before."""
        from sqlml.errors import Error

        with self._lock:
            if self._session.changed and not self._closed:
                try:
                    self._names = read_names(self._session.connection)
                    self._session.changed = False
                except Error:
                    return self._names
            return self._names


def _completer(cache: NameCache) -> Completer:
    from prompt_toolkit.completion import Completer, Completion

    from sqlml.shell.commands import complete_command
    from sqlml.shell.complete import candidates

    class SqlCompleter(Completer):
        """Candidates at the cursor."""

        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            before = document.text_before_cursor
            if before.lstrip().startswith("."):
                for word, length in complete_command(before.lstrip(), cache.get()):
                    yield Completion(word, start_position=-length)
                return
            for item in candidates(document.text, document.cursor_position, cache.get(), vocabulary()):
                yield Completion(item.text, start_position=-item.length, display_meta=item.kind)

    return SqlCompleter()
