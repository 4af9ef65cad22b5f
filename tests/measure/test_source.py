"""The text of the measured call that a record keeps."""
import functools
import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

from genlib import measure, runs
from genlib.measure import source

STEPS = 3


def draw(steps):
    return [helper(steps)]


def helper(steps):  # called by draw
    return steps * STEPS


def around(function):
    @functools.wraps(function)
    def wrapped(*arguments):
        return function(*arguments)
    return wrapped


@around
def decorated():
    return draw(1)


def calls_itself(n=0):
    return n and calls_itself(n - 1)


def test_a_function_is_given_as_written_after_those_that_it_calls():
    assert source.of_call(draw) == ("def helper(steps):  # called by draw\n    return steps * STEPS\n\n"
                                    "def draw(steps):\n    return [helper(steps)]")


def test_a_lambda_is_its_expression_alone():
    pair = (lambda: draw(1), lambda index: draw(
        index + 2))
    assert source.of_call(pair[0]).endswith("return [helper(steps)]\n\nlambda: draw(1)")
    assert source.of_call(pair[1]).endswith("lambda index: draw(\n    index + 2)")


def test_a_decorated_function_is_given_with_its_decorator():
    assert source.of_call(decorated).endswith("@around\ndef decorated():\n    return draw(1)")


def test_a_function_that_calls_itself_is_given_once():
    assert source.of_call(calls_itself).count("def ") == 1


@pytest.mark.parametrize("call", [print, functools.partial(draw, 1), eval("lambda: 1"), object()], ids=["C", "partial", "typed", "none"])
def test_a_call_without_source_has_none(call):
    assert source.of_call(call) is None


def test_a_cell_of_a_notebook_gives_its_call():
    shell = InteractiveShell.instance()
    shell.run_cell("def generate(n):\n    return None  # of a notebook\n\ncall = (\n    lambda: generate(3))")
    assert source.of_call(shell.user_ns["call"]) == "def generate(n):\n    return None  # of a notebook\n\nlambda: generate(3)"


def test_the_record_keeps_the_call(tmp_path):
    def generate():
        return None

    run = measure.repeat(generate, experiment="mine", iterations=1, warmup=0, results=tmp_path)
    assert runs.read(run.folder / "run.json").call == "def generate():\n    return None"


def test_a_record_without_a_call_is_read_as_before(tmp_path):
    run = measure.repeat(lambda: None, experiment="mine", iterations=1, warmup=0, results=tmp_path)
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    assert record.pop("call") == "lambda: None"
    path.write_text(json.dumps(record))
    assert runs.read(path).call is None
