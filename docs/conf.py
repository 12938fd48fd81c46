"""Settings of the documentation site: ``make docs`` writes it to docs/_build/html, without network."""

from __future__ import annotations

import inspect
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
sys.path[:0] = [str(PROJECT), str(DOCS)]

from nda_mm import __version__

project = "nda_mm"
author = "the nda_mm authors"
version = release = __version__
copyright = f"2026, {author}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",  # formulas without network
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "gallery"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "nda_mm"
html_static_path = ["_static"]
html_theme_options = {"navigation_with_keys": True}

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types and ranges
autodoc_default_options = {"members": True, "show-inheritance": False}
autosummary_generate = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shape", "notes_style"), ("Source", "notes_style"), ("Logged", "notes_style")]

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["auto_gallery"],
    "filename_pattern": "/plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "capture_repr": (),  # what an example prints is shown, not the value of its last line
    "min_reported_time": 1,
    "within_subsection_order": "FileNameSortKey",
}

#: Packages of the API reference, in the order of a reader.
PACKAGES = {
    "functional": "Functions",
    "losses": "Losses",
    "negatives": "Negatives",
    "models": "Models",
    "engine": "Hooks and loops",
    "evaluation": "Metrics and the audit",
    "datasets": "Data sets and transforms",
    "conversion": "Conversion of checkpoints",
}


def write_api_pages() -> None:
    """One page for each package, with every public name from its docstring."""
    for name, title in PACKAGES.items():
        package = import_module(f"nda_mm.{name}")
        lines = [f"# {title}", "", f"`nda_mm.{name}`", ""]
        objects = {public: getattr(package, public) for public in package.__all__}
        for public, value in sorted(objects.items(), key=lambda item: (inspect.isclass(item[1]), item[0])):
            if not callable(value) or not inspect.getdoc(value):
                continue
            kind = "autoclass" if inspect.isclass(value) else "autofunction"
            options = [":no-members:"] if inspect.isclass(value) else []
            lines += [f"## {public}", "", "```{eval-rst}", f".. {kind}:: nda_mm.{name}.{public}"]
            lines += [*(f"   {option}" for option in options), "```", ""]
        _write(DOCS / "api" / f"{name}.md", "\n".join(lines))


def write_model_zoo() -> None:
    """One page of all recipes: a table from the metafiles, then the README of each method."""
    table = ["| recipe | data | result |", "|---|---|---|"]
    methods: list[str] = []
    for metafile in sorted((PROJECT / "configs").glob("*/metafile.yml")):
        content = yaml.safe_load(metafile.read_text(encoding="utf-8"))
        for model in content["Models"]:
            results = [
                f"{metric}: {value}"
                for result in model.get("Results", [])
                for metric, value in result["Metrics"].items()
            ]
            if "Weights" in model:
                results.append(f"{{download}}`weights <{model['Weights'].removeprefix('docs/')}>`")
            metadata = model.get("Metadata", {})
            budget = f" ({metadata['Budget']})" if "Budget" in metadata else ""
            data = metadata.get("Training Data", "")
            table.append(f"| `{model['Name']}` | {data} | {'; '.join(results) or 'not run'}{budget} |")
        text = (metafile.parent / "README.md").read_text(encoding="utf-8")
        methods += [re.sub(r"^#", "##", _without_local_links(text), flags=re.MULTILINE), ""]
    head = [
        "# Model zoo",
        "",
        "Every recipe with its data and, where it was run, its result: a mean over seeds. Where a recipe was run for",
        "less than its own budget, the budget is given in parentheses. A recipe without a result was not run.",
        "Hardware, seeds, spread and commands are below, by method. Linked weights come with the sources; the other",
        "recipes on digits train in minutes.",
        "",
    ]
    _write(DOCS / "zoo.md", "\n".join([*head, *table, "", *methods]))


def _without_local_links(text: str) -> str:
    """Links to files of the repository as their text, in code where it is a recipe's name."""

    def replace(link: re.Match[str]) -> str:
        label, target = link.groups()
        name, _, suffix = target.partition(".")
        return label if suffix != "py" else f"`{name}`" if name == label else f"{label} (`{name}`)"

    return re.sub(r"\[([^\]]+)\]\((?!https?:)([^)]+)\)", replace, text)


def _write(path: Path, text: str) -> None:
    """Leave an unchanged page alone, so that Sphinx does not read it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    """Write the generated pages before Sphinx looks for its sources."""
    os.environ.setdefault("MPLBACKEND", "agg")
    write_api_pages()
    write_model_zoo()
