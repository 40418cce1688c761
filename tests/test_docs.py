"""The code in the documentation runs and prints what it says."""

import doctest
import re
from pathlib import Path

import pytest

import sklearn_ltd
from sklearn_ltd import datasets, inspection, model_selection

ROOT = Path(__file__).parent.parent
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.stem)
def test_docs(page):
    failures, _ = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert failures == 0


def test_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    assert float(capsys.readouterr().out.split()[0]) > 0.8


@pytest.mark.parametrize("module", [sklearn_ltd, datasets, inspection, model_selection])
def test_every_public_name_has_an_example_and_a_place_in_the_reference(module):
    listed = (ROOT / "docs" / "api.rst").read_text().split()
    for name in module.__all__:
        assert "Examples\n" in getattr(module, name).__doc__, name
        assert name in listed


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.stem
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
