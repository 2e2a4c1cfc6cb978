"""The site: `python -m sphinx -n -W docs OUT` builds it, from a clone with the extra `docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from known_names import inventories

import robust_reps_ext

project = "robust_reps_ext"
author = "The robust_reps_ext authors"
copyright = "the robust_reps_ext authors, MIT licence"
version = release = robust_reps_ext.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "every_name",
    "links_out",
    "math_without_scripts",
    "notebooks",
    "plain_types",
]
# A picture of the gallery is a page already, and its notebook there to be fetched.
exclude_patterns = ["_ext", "_static", "_inventories", "gallery/*.ipynb"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_block", "attrs_inline"]
nb_execution_mode = "off"  # they are kept with their pictures, and the tests run them
myst_heading_anchors = 4  # README and the pages link to headings as code hosts name them

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False  # upstream's are not written for Sphinx
autodoc_default_options = {"members": True, "show-inheritance": True}
numpydoc_show_class_members = False
default_role = "py:obj"  # single backticks of docstrings: a link where the name is known
python_maximum_signature_line_length = 88

# Other projects' names link to their sites; without a network the few that we use are known.
intersphinx_mapping = inventories(Path(__file__).parent / "_inventories")
intersphinx_timeout = 5

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",  # written by the build
    "filename_pattern": "plot_",
    "image_scrapers": ("drawn_figures.drawn_figures",),
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "reset_modules": (),
    "show_memory": False,
    "min_reported_time": 10**6,
    "write_computation_times": False,
    "download_all_examples": False,
    "show_signature": False,
    "copyfile_regex": "",
    "show_api_usage": False,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "robust_reps_ext"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("index", "get-started", "evaluate", "citing")}
html_theme_options = {
    "logo": {"text": "robust_reps_ext"},
    "header_links_before_dropdown": 6,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "show_prev_next": False,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
linkcheck_timeout = 20
