"""Packaging of sktwotower: all metadata; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
URL = "https://github.com/sktwotower/sktwotower"
VERSION = re.search(
    r'^__version__ = "(.+?)"$',
    (HERE / "sktwotower" / "__init__.py").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
).group(1)


def description():
    """Return README with whole addresses: the package index shows it by itself."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    picture = r"(!\[[^]]*\]\(|\bsrc(?:set)?=\")(?=docs/)"
    text = re.sub(picture, rf"\g<1>{URL}/raw/main/", text)
    return re.sub(r"(\]\()(?!https?://|#)", rf"\g<1>{URL}/blob/main/", text)


setup(
    name="sktwotower",
    version=VERSION,
    description="Two-tower retrieval models as scikit-learn estimators",
    long_description=description(),
    long_description_content_type="text/markdown",
    author="The sktwotower developers",
    url=URL,
    project_urls={
        "Source": URL,
        "Issues": f"{URL}/issues",
        "Changelog": f"{URL}/blob/main/CHANGELOG.md",
    },
    keywords=["recommender system", "retrieval", "scikit-learn", "torch", "two-tower"],
    license="BSD-3-Clause",
    license_files=["LICENSE"],
    entry_points={"console_scripts": ["sktwotower = sktwotower.__main__:main"]},
    packages=find_packages(include=["sktwotower", "sktwotower.*"]),
    package_data={
        "sktwotower": ["py.typed"],
        "sktwotower._command_line": ["*.html", "*.txt"],
        "sktwotower.datasets": ["data/*", "descr/*"],
        "sktwotower.metrics": ["*.html"],
    },
    python_requires=">=3.11",
    install_requires=[
        # below the next version that may break what is used; scikit-learn's minor
        # versions may, since private parts of it are imported
        "numpy>=1.26,<3",
        "narwhals>=2.0.1,<3",
        "pandas>=2.2,<4",
        "pynndescent>=0.7,<0.8",
        "scikit-learn>=1.6,<1.10",
        "scipy>=1.11,<2",
        "skorch>=1.4,<2",
        "torch>=2.5,<3",
        "tqdm>=4.60,<5",
    ],
    extras_require={
        "test": [
            "allpairspy>=2.5",
            "dask>=2025.7",
            "distributed>=2025.7",
            "duckdb>=1.5",
            "faiss-cpu>=1.8",
            "hypothesis>=6.100",
            "ir-measures>=0.3.6",
            "jsonschema>=4.20",
            "markdown-it-py>=3.0",
            "matplotlib>=3.8",
            "onnx>=1.16",
            "onnxruntime>=1.17",
            "polars>=1.3",
            "pyarrow>=15",
            "pytest>=8",
            "pytest-xdist>=3.8",
            "skops>=0.15",
            "skrub>=0.5.1",  # its TableVectorizer is a transformer that users bring
        ],
        # estimators of other packages in files: transformers and indexes of users
        "io": ["skops>=0.15"],
        "onnx": ["onnx>=1.16"],
        "optuna": ["optuna>=4.0", "optuna-integration>=4.0"],
        "parquet": ["pyarrow>=15"],
        "plot": ["matplotlib>=3.8"],
        # fits of events on disk: DuckDB groups them by user, within a memory limit
        "scale": ["duckdb>=1.5", "pyarrow>=15"],
        # frames of a cluster: fit reads them as it reads events on disk
        "dask": ["dask>=2025.7", "distributed>=2025.7", "duckdb>=1.5", "pyarrow>=15"],
        "notebook": [
            "ipykernel>=6.29",
            "matplotlib>=3.8",
            "nbclient>=0.10",  # has `jupyter execute --inplace`
            "optuna>=4.0",
            "optuna-integration>=4.0",
            "pyarrow>=15",
        ],
        # examples/service.py
        "serve": ["fastapi>=0.115", "uvicorn>=0.37"],
        # selenium drives Chromium in tests/docs/test_site.py
        "dev": ["codespell==2.4.3", "pre-commit>=4", "ruff==0.17.6", "selenium>=4.20"],
        # tests/clients: programs that take a recommender as they take any estimator
        "clients": [
            "lightgbm>=4.5",
            "mlflow>=3.17",
            "optuna>=4.0",
            "optuna-integration>=4.0",
            "skops>=0.15",
            "skrub>=0.5.1",
        ],
        # models of other libraries, in an environment of their own: RecTools
        # needs pandas below 3, and brings its fork of implicit
        "peers": ["rectools[lightfm]>=0.19"],
        # programs that only read code; pyright runs on node
        "types": [
            "mypy==2.4.1",
            "pandas-stubs==3.1.0.261029",
            "pyright[nodejs]==1.1.414",
        ],
        # what docs/exports.md has recipes for; hnswlib is compiled in installing it
        "recipes": [
            "faiss-cpu>=1.8",
            "lancedb>=0.40",
            "milvus-lite>=3.2",
            "onnxruntime>=1.17",
            "pgserver>=0.1.4",
            "pgvector>=0.3",
            "psycopg[binary]>=3.2",
            "pyarrow>=15",
            "pymilvus>=3.0",
            "qdrant-client>=1.12",
        ],
        # what docs/cluster.md has recipes for (Spark needs Java), and a server of S3
        "cluster": [
            "moto[server]>=5.2",
            "pyarrow>=15",
            "pyspark>=4.3",
            "ray[data]>=2.60",
        ],
        # the site, and the scripts of examples/gallery that it runs
        "docs": [
            "duckdb>=1.5",
            "fastapi>=0.115",
            "lightgbm>=4.5",
            "matplotlib>=3.8",
            "myst-nb>=1.3",
            "numpydoc>=1.8",
            "pyarrow>=15",
            "pydata-sphinx-theme>=0.16",
            "qdrant-client>=1.12",
            "sphinx>=8.1",
            "sphinx-copybutton>=0.5.2",
            "sphinx-design>=0.6.1",
            "sphinx-gallery>=0.22",
            "sphinx-mathjax-offline>=0.0.2",
            "uvicorn>=0.37",
        ],
        "benchmark": [
            "faiss-cpu>=1.8",
            "hnswlib>=0.8",
            "implicit>=0.7.2",
            "pyarrow>=15",
            "rectools-lightfm>=1.17.3",
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
