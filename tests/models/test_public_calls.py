"""Public functions of genlib.models say what they do."""
import importlib
import inspect
import pkgutil

import pytest

from genlib import models

MODULES = [module.name for module in pkgutil.walk_packages(models.__path__, "genlib.models.")]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_says_what_it_does(name):
    module = importlib.import_module(name)
    for function, value in vars(module).items():
        if inspect.isfunction(value) and value.__module__ == name and not function.startswith("_"):
            assert value.__doc__, f"{name}.{function} has no docstring"


def test_the_modules_are_found():
    assert {"genlib.models.weights", "genlib.models.stylegan2.network", "genlib.models.stylegan2.nvidia_file.reader"} <= set(MODULES)
