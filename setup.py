"""Installation of nda_mm.

The core needs torch and mmengine; each host framework is an extra. Every host needs mmcv. The extra `lite` installs
mmcv-lite, which lacks the compiled operators; nda_mm.compat provides those of torch and torchvision instead. Do not
install this extra next to a compiled mmcv, since both install into the same folder.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
#: Files and folders that OpenMMLab's tools look for in a package's `.mim` folder.
SHIPPED = ("configs", "tools", "model-index.yml")


class BuildWithRecipes(build_py):
    """Add the recipes and tools to the package: as copies in a wheel, as links in an editable install."""

    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            self._link(ROOT / "nda_mm" / ".mim")
        else:
            self._copy(Path(self.build_lib) / "nda_mm" / ".mim")

    def _link(self, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name in SHIPPED:
            link = target / name
            if link.is_symlink():
                link.unlink()
            link.symlink_to(Path("..") / ".." / name)

    def _copy(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)  # an old build folder may still contain recipes that were removed
        target.mkdir(parents=True)
        for name in SHIPPED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy2(ROOT / name, target / name)


def read_version() -> str:
    """Return the version without importing the package."""
    text = (ROOT / "nda_mm" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"', text, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError("nda_mm/__init__.py must set __version__")
    return match[1]


#: Requirements for the tables of tools/compare.py, screen.py and transfer.py.
STUDIES = ["pandas>=2", "scipy>=1.10"]
LITE = ["mmcv-lite==2.1.0", "torchvision"]
GAN = [
    "mmagic==1.2.0",
    # The recipe that needs no data is evaluated with an mmpretrain classifier.
    "mmpretrain>=1.2.0,<1.3",
    "tensorboard",
    *STUDIES,
]
SSL = ["mmpretrain>=1.2.0,<1.3", "tensorboard", *STUDIES]
DET = ["mmdet>=3.3.0,<3.4", "mmpretrain>=1.2.0,<1.3", "tensorboard", *STUDIES]
# The small recipes take their 2-D backbone from mmpretrain.
VIDEO = ["mmaction2>=1.2.0,<1.3", "mmpretrain>=1.2.0,<1.3", "tensorboard", *STUDIES]
DEV = [
    "hypothesis>=6",
    "import-linter>=2",
    "mypy>=1.11",
    "psutil>=5",
    "pytest>=8",
    "pytest-xdist>=3",
    "ruff>=0.6",
]
# Current Sphinx needs Python 3.11. On 3.10 the extra is empty and the site can't be built.
DOCS = [
    f"{name} ; python_version >= '3.11'"
    for name in (
        "furo",
        "matplotlib",
        "myst-parser",
        "sphinx>=8",
        "sphinx-copybutton",
        "sphinx-gallery",
        "sphinx-mathjax-offline",
    )
]

setup(
    name="nda_mm",
    version=read_version(),
    description="Negative Data Augmentation for the OpenMMLab frameworks",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["nda_mm", "nda_mm.*"]),
    package_data={"nda_mm": ["py.typed", "**/*.pyi", "datasets/images/imagenet100.txt"]},
    cmdclass={"build_py": BuildWithRecipes},
    install_requires=[
        # The first release whose torch.serialization.add_safe_globals accepts (object, name) pairs, which are needed
        # to load mmengine's checkpoints with weights_only=True.
        "torch>=2.6",
        "mmengine>=0.10.4,<0.11",
        "numpy>=1.26",
        "packaging",
        "filelock",
        "scikit-learn>=1.3",  # for its digits, which need no download, and ROC curves
        # mmengine imports pkg_resources, which later versions of setuptools have removed.
        "setuptools<81",
    ],
    extras_require={
        "lite": LITE,
        "gan": GAN,
        "ssl": SSL,
        "det": DET,
        "video": VIDEO,
        "all": sorted({*GAN, *SSL, *DET, *VIDEO}),
        "dev": DEV,
        "docs": DOCS,
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
