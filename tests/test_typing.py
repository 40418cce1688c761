"""The types of the public interface, for users with mypy."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_ltd
from sklearn_ltd import datasets, model_selection

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("arguments", [["--strict", "tests/typing_example.py"], ["sklearn_ltd"]])
def test_mypy_accepts(arguments):
    """Strictly a user's script, and the bodies of what is annotated."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def public_functions():
    for module in (sklearn_ltd, datasets, model_selection):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item):
                yield pytest.param(item, id=name)
                continue
            for key, method in inspect.getmembers(item, inspect.isfunction):
                ours = inspect.unwrap(method).__module__.startswith("sklearn_ltd")
                if ours and (key == "__init__" or not key.startswith("_")):
                    yield pytest.param(method, id=f"{name}.{key}")


@pytest.mark.parametrize("function", list(public_functions()))
def test_public_functions_have_all_their_types(function):
    signature = inspect.signature(function)
    missing = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert missing in ([], ["self"])
    assert signature.return_annotation is not signature.empty
