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


class Model:
    def draw(self):
        return [helper(n) for n in range(2)] + (lambda: draw(3))()


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError(name)

    def __call__(self):
        return None


hostile = Hostile()


def calls_an_object():
    return hostile()


def test_a_function_is_given_as_written_after_those_that_it_calls():
    assert source.of_call(draw) == ("def helper(steps):  # called by draw\n    return steps * STEPS\n\n"
                                    "def draw(steps):\n    return [helper(steps)]")


@pytest.mark.parametrize("names, call", [("helper draw draw", Model().draw), ("inner outer", None)], ids=["method", "closure"])
def test_what_is_called_in_a_comprehension_a_method_or_a_closure_is_given_too(names, call):
    def inner():
        return STEPS

    def outer():
        return [inner() for _ in range(2)]

    assert [line.split("(")[0] for line in source.of_call(call or outer).split("\n") if "def " in line] == [
        f"def {name}" for name in names.split()]


def test_a_lambda_is_its_expression_alone():
    pair = (lambda: draw(1), lambda index: draw(
        index + 2))
    assert source.of_call(pair[0]).endswith("return [helper(steps)]\n\nlambda: draw(1)")
    assert source.of_call(pair[1]).endswith("lambda index: draw(\n    index + 2)")
    wide = [  # whose last bracket stands below its beginning
        lambda: draw(
            steps=1,
        )]
    assert source.of_call(wide[0]).endswith("lambda: draw(\n    steps=1,\n)")


def test_a_decorated_function_is_given_with_its_decorator():
    assert source.of_call(decorated).endswith("@around\ndef decorated():\n    return draw(1)")


def test_a_function_that_calls_itself_is_given_once():
    assert source.of_call(calls_itself).count("def ") == 1


@pytest.mark.parametrize("call", [print, functools.partial(draw, 1), eval("lambda: 1"), hostile], ids=["C", "partial", "typed", "object"])
def test_a_call_without_source_has_none(call):
    assert source.of_call(call) is None


def test_an_object_that_answers_no_question_costs_no_listing():
    assert source.of_call(calls_an_object) == "def calls_an_object():\n    return hostile()"


def test_a_call_whose_file_has_changed_since_is_still_measured(tmp_path):
    path = tmp_path / "changed.py"
    path.write_text("x = 1\n" * 10 + "def call():\n    return None\n")
    scope = {"__name__": "changed"}
    exec(compile(path.read_text(), path, "exec"), scope)
    for text in "", "x = (\n" * 30, 'x = """\n' * 11:
        path.write_text(text)
        source.of_call(scope["call"])  # whatever it gives


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
