"""Build robust-reps-ext: an ordinary package plus two start-up files that arm the mends.

`robust_reps_ext.pth` is what Python reads at its start up to 3.17, `robust_reps_ext.start` from
3.15 on (PEP 829). Both lie beside the package in site-packages and in the wheel's RECORD, so that
uninstalling takes them away. An editable wheel holds no built files at all, so they are added to
the finished wheel, in the same way for both kinds.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent

# The names sort after those of editable installs (__editable__...), which make us importable.
# A package that is half gone must not disturb Python's start: the import may fail in silence.
START_UP_FILES = {
    "robust_reps_ext.pth": 'import sys; exec("try:\\n import robust_reps_ext\\n'
    'except ImportError:\\n pass")\n',
    "robust_reps_ext.start": "robust_reps_ext.upstream.startup:arm\n",
}


def add_start_up_files(wheel: Path) -> None:
    """Rewrite a finished wheel with the start-up files at its root and in its RECORD."""
    with ZipFile(wheel) as archive:
        contents = {entry: archive.read(entry) for entry in archive.infolist()}
    record = next(entry for entry in contents if entry.filename.endswith(".dist-info/RECORD"))
    for name, text in START_UP_FILES.items():
        entry = ZipInfo(name, date_time=record.date_time)
        entry.external_attr, entry.compress_type = record.external_attr, ZIP_DEFLATED
        contents[entry] = data = text.encode()
        digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        contents[record] += f"{name},sha256={digest},{len(data)}\n".encode()
    with ZipFile(wheel, "w") as archive:
        for entry, data in contents.items():
            archive.writestr(entry, data)


class BdistWheel(bdist_wheel):
    """An ordinary wheel with the start-up files."""

    def run(self) -> None:
        super().run()
        add_start_up_files(Path(self.distribution.dist_files[-1][2]))


class EditableWheel(editable_wheel):
    """An editable wheel with the start-up files."""

    def run(self) -> None:
        super().run()
        (wheel,) = Path(self.dist_dir).glob("*.editable-*.whl")
        add_start_up_files(wheel)


setup(
    name="robust-reps-ext",
    version=re.search(
        r'__version__ = "(.+)"',
        (ROOT / "robust_reps_ext/runtime/environment.py").read_text("utf-8"),
    )[1],
    description="Robust representations for the robustness library: train, invert, visualise",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="The robust_reps_ext authors",
    license_expression="MIT",
    license_files=["LICENSE"],
    project_urls={
        "Paper": "https://arxiv.org/abs/1906.00945",
        "The robustness library": "https://github.com/MadryLab/robustness",
    },
    keywords="adversarial robustness, representation, inversion, feature visualization, pytorch",
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Framework :: Matplotlib",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Topic :: Scientific/Engineering :: Visualization",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["robust_reps_ext", "robust_reps_ext.*"]),
    package_data={
        "robust_reps_ext": [
            "py.typed",
            "upstream/training/presets/*.json",
            "datasets/wordnet.txt",
            "models/zoo/weights/*",
            "report/templates/*",
            "explore/templates/*",
        ]
    },
    install_requires=[
        "robustness>=1.2.1.post2",
        "cox>=0.2",
        "dill>=0.3.8",
        "filelock>=3.12",
        "gitpython>=3.1.40",
        "jinja2>=3.1.4",
        "joblib>=1.3",
        "matplotlib>=3.10",
        "numpy>=1.26.4",
        "pandas>=2.2.2",
        "pillow>=10.3",
        "platformdirs>=4.2",
        "rich>=13.7",
        "safetensors>=0.4.3",
        "scikit-learn>=1.5",
        "scipy>=1.15",
        "tables>=3.10",
        "tensorboardX>=2.6.2.2",
        "torch>=2.5",
        "torchvision>=0.20",
        "tqdm>=4.66",
        "typer>=0.16",
        "typing_extensions>=4.12",
    ],
    extras_require={
        "explore": ["starlette>=0.40", "uvicorn>=0.30"],
        "docs": [
            "myst-nb>=1.2",
            "myst-parser>=4.0",
            "numpydoc>=1.8",
            "pydata-sphinx-theme>=0.16",
            "scikit-image>=0.22",
            "sphinx>=8.1",
            "sphinx-copybutton>=0.5.2",
            "sphinx-design>=0.6",
            "sphinx-gallery>=0.18",
        ],
        "hf": ["datasets>=3.0"],
        "metrics": ["torchmetrics>=1.4"],
        "photographs": ["scikit-image>=0.22"],
        "timm": ["timm>=1.0.11"],
        "test": [
            "hypothesis>=6.100",
            "import-linter>=2.1",
            "ipykernel>=6.29",
            "mypy>=1.13",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "pip>=23",
            "playwright>=1.49",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "scikit-image>=0.22",
            "setuptools>=77",
            "starlette>=0.40",
            "timm>=1.0.11",
            "torchmetrics>=1.4",
            "uvicorn>=0.30",
            "webdataset>=0.2.100",
        ],
    },
    entry_points={"console_scripts": ["robust-reps = robust_reps_ext.cli:main"]},
    cmdclass={"bdist_wheel": BdistWheel, "editable_wheel": EditableWheel},
)
