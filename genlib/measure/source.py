"""The source text of the call that is measured, for a reader of its record."""
import ast
import inspect
from collections.abc import Iterator
from textwrap import dedent
from types import CodeType, FunctionType

LONGEST = 20_000  # characters; more is no listing


def of_call(generate) -> str | None:
    """What `generate` runs, as written: the functions of its own module that it calls, then itself.

    A lambda is given as its expression alone. None where there is no source text, as for a call that was
    typed into a plain interpreter or is written in C, or if there are more than 20,000 characters.
    """
    try:
        text = "\n\n".join(map(_text, _functions(_plain_function(generate), [])))
        text.encode()
    except Exception:  # whatever it is, as of a file that has changed since: no listing is worth a measurement
        return None
    return text if text and len(text) <= LONGEST else None


def _functions(function, known: list) -> list[FunctionType]:
    """The function after those of its module that it calls by name, each once."""
    if not isinstance(function, FunctionType):  # a class has source text too, and any other object has none
        return [function] if isinstance(function, type) else []
    found = [*known, function]  # so that one which calls itself is not followed again
    named = function.__globals__ | inspect.getclosurevars(function).nonlocals
    for name in _names(function.__code__):
        called = _plain_function(named.get(name))
        if isinstance(called, FunctionType) and called.__module__ == function.__module__ and called not in found:
            found = _functions(called, found)
    return [*(other for other in found if other is not function), function]


def _plain_function(call):
    """The function behind a method or a decorator; anything else as it is."""
    return inspect.unwrap(getattr(call, "__func__", call)) if inspect.isroutine(call) else call


def _names(code: CodeType) -> Iterator[str]:
    """What a function refers to, also in the functions and comprehensions inside it."""
    yield from (*code.co_names, *code.co_freevars)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _text(function) -> str:
    if function.__name__ != "<lambda>":
        return dedent(inspect.getsource(function)).rstrip()
    lines, _ = inspect.findsource(function)
    source, places = "".join(lines), {place[:3:2] for place in function.__code__.co_positions()}
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Lambda)
             and any((inner.lineno, inner.col_offset) in places for inner in ast.walk(node.body) if isinstance(inner, ast.expr))]
    node = min(found, key=lambda node: node.end_lineno - node.lineno)
    line = source.splitlines()[node.lineno - 1]
    return dedent(line[:len(line) - len(line.lstrip())] + ast.get_source_segment(source, node))
