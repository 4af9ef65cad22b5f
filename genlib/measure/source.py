"""The source text of the call that is measured, for a reader of its record."""
import ast
import inspect
from textwrap import dedent, indent
from types import FunctionType

LONGEST = 20_000  # characters; more is no listing


def of_call(generate) -> str | None:
    """What `generate` runs, as written: the functions of its own module that it calls, then itself.

    A lambda is given as its expression alone. None where there is no source text, as for a call that was
    typed into a plain interpreter or is written in C, or if there are more than 20,000 characters.
    """
    try:
        text = "\n\n".join(map(_text, _functions(inspect.unwrap(generate), [])))
        text.encode()
    except (OSError, TypeError, ValueError, SyntaxError):
        return None
    return text if text and len(text) <= LONGEST else None


def _functions(function, known: list) -> list[FunctionType]:
    """The function after those of its module that it calls by name, each once."""
    if function in known:
        return known
    found = [*known, function]  # so that one which calls itself is not followed again
    for name in inspect.getclosurevars(function).globals if isinstance(function, FunctionType) else ():
        called = inspect.unwrap(function.__globals__[name])
        if isinstance(called, FunctionType) and called.__module__ == function.__module__:
            found = _functions(called, found)
    return [*(other for other in found if other is not function), function]


def _text(function) -> str:
    if getattr(function, "__name__", "") != "<lambda>":
        return dedent(inspect.getsource(function)).rstrip()
    lines, _ = inspect.findsource(function)
    source, places = "".join(lines), {place[:3:2] for place in function.__code__.co_positions()}
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Lambda)
             and any((inner.lineno, inner.col_offset) in places for inner in ast.walk(node.body) if isinstance(inner, ast.expr))]
    first, *rest = ast.get_source_segment(source, min(found, key=lambda node: node.end_lineno - node.lineno)).split("\n")
    return "\n".join([first, *([indent(dedent("\n".join(rest)), "    ")] if rest else [])])
