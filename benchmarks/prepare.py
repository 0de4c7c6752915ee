"""How do the data sets of --data come from their public sources?

Call: ``python benchmarks/prepare.py NAME --data DIR``, NAME being one of
``_sources.SOURCES``, writes ``DIR/NAME/*.parquet``. Downloads are kept in
``DIR/downloads/NAME``; put the files there yourself, and they are read instead
(``--from DIR``: from another folder). ``python benchmarks/prepare.py online-retail
--data DIR --ship`` then makes the files that the package ships (``--out DIR``:
elsewhere). The spreadsheet of Online Retail needs ``pip install openpyxl``, all others
pyarrow.

Failure: a file whose SHA-256 is not the expected one. Where none is published, that of
the first fetch is recorded in ``DIR/checksums.json`` and compared from then on.
"""

import argparse
import hashlib
import io
import json
import shutil
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import _online_retail
from _quick import parse_options
from _sources import SOURCES


def fetch(url, path):
    """Download a file, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    request = urllib.request.Request(url, headers={"User-Agent": "sktwotower"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            with part.open("wb") as file:
                shutil.copyfileobj(answer, file)
    except OSError as error:
        sys.exit(f"{url} was not fetched: {error}. Put the file there yourself: {path}")
    part.rename(path)


def check(path, name, expected, record):
    """Compare the SHA-256 of a file with the published or the recorded one."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    known = json.loads(record.read_text()) if record.exists() else {}
    key = f"{name}/{path.name}"
    wanted = expected or known.get(key)
    if wanted is None:
        print(f"{key}: no published checksum; recorded {found}")
        record.write_text(json.dumps(known | {key: found}, indent=1) + "\n")
    elif found != wanted:
        where = "published" if expected else f"recorded in {record}"
        raise ValueError(
            f"{path} has SHA-256 {found}, {where} is {wanted}: delete it and fetch it "
            f"again, or see whether the source has changed"
        )


def unpacked(path):
    """Return the files of an archive, or the file itself, as a dict of bytes."""
    content = path.read_bytes()
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {n: archive.read(n) for n in archive.namelist() if n[-1] != "/"}
    if path.name.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            files = [member for member in archive if member.isfile()]
            return {m.name: archive.extractfile(m).read() for m in files}
    return {path.name: content}


def prepare(name, data, folder=None):
    """Write the tables of a data set below ``data``, and return them."""
    source, files = SOURCES[name], {}
    data = Path(data)
    folder = data / "downloads" / name if folder is None else Path(folder)
    data.mkdir(parents=True, exist_ok=True)
    for url in source.urls:
        path = folder / url.rpartition("/")[2]
        fetch(url, path)
        check(path, name, source.sha256, data / "checksums.json")
        files |= unpacked(path)
    tables = source.read(files)
    (data / name).mkdir(exist_ok=True)
    for table, frame in tables.items():
        frame.to_parquet(data / name / f"{table}.parquet", index=False)
        print(f"{name}/{table}.parquet: {len(frame):,} rows")
    return tables


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*SOURCES, "all"], nargs="?", default="all")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--from", dest="folder", type=Path)
    parser.add_argument("--ship", action="store_true")
    parser.add_argument("--out", type=Path, default=_online_retail.PACKAGE_DATA)
    own = parse_options(parser, needs_data=True)
    if own.quick:  # its tables are made of texts in the layouts of the sources
        print(*sorted(Path(own.data).glob("*/*.parquet")), sep="\n")
        return
    if own.ship:
        _online_retail.pack_files(own.data, own.out)
        return
    for name in SOURCES if own.name == "all" else [own.name]:
        prepare(name, own.data, own.folder)


if __name__ == "__main__":
    main()
