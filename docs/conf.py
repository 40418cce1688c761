"""Configuration of Sphinx; contributing.md has the command."""

import warnings

import sklearn_ltd

warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)

project = "sklearn_ltd"
author = "the sklearn_ltd developers"
copyright = author
release = version = sklearn_ltd.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "literal"

autosummary_generate = True
numpydoc_show_class_members = False
# These docstrings of scikit-learn refer to its own guide.
_theirs = ["get_metadata_routing", "set_fit_request", "set_score_request", "set_output"]
autodoc_default_options = {"exclude-members": ", ".join(_theirs)}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 0,
    "backreferences_dir": None,
    "capture_repr": (),
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_theme_options = {"show_nav_level": 1, "navbar_align": "left", "show_toc_level": 2}
html_show_sourcelink = False
