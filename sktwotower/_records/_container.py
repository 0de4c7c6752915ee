"""One zip file of uncompressed members: arrays as .npy, everything else as JSON.

Input: a path, and the members: names and bytes.
Output: the members again, after their checks; arrays can be mapped into memory.
"""

import contextlib
import hashlib
import io
import json
import math
import mmap
import os
import re
import struct
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

META = "meta.json"
NAME = re.compile(r"meta\.json|arrays/\d+\.[\w.-]*npy|objects/\d+\.skops")
# An extra field of this id fills the header of a member up, so that its data begins at
# a multiple of ALIGNMENT bytes. Readers skip fields that they do not know.
PADDING_ID = 0xD935
ALIGNMENT = 64
HEADER = struct.Struct("<4s5H3L2H")
# Arrays may hold numbers, booleans, dates, durations and text, but no objects.
KINDS = "biufMmUS"
CHECKSUM_LENGTH = 64


class WrittenFile(contextlib.AbstractContextManager):
    """A file to which members are added one by one.

    Parameters
    ----------
    file : binary file
        Open for writing, at its beginning.
    """

    def __init__(self, file):
        self.file = file
        self.zip = ZipFile(file, "w", ZIP_STORED)
        self.checksums = {}

    def add_array(self, array, label):
        """Write an array as a .npy member; return the name of the member."""
        label = re.sub(r"[^A-Za-z0-9_]+", ".", label)
        name = f"arrays/{len(self.checksums)}.{label}"
        name = name[:100].rstrip(".") + ".npy"
        is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        if not is_fortran:
            array = np.asarray(array, order="C")
        header = io.BytesIO()
        about = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(header, about)
        if is_fortran:
            array = array.T
        return self._add(name, header.getvalue(), array.reshape(-1).view(np.uint8))

    def add_bytes(self, data):
        """Write the bytes of an object as a member; return the name of the member."""
        return self._add(f"objects/{len(self.checksums)}.skops", data)

    def __exit__(self, *error):
        with contextlib.suppress(Exception):  # the file is removed anyway
            self.zip.close()

    def finish(self, meta):
        """Write the dict of what the members mean, and the end of the file."""
        meta = meta | {"checksums": dict(self.checksums)}
        self._add(META, json.dumps(meta, allow_nan=False).encode())
        self.zip.comment = self.checksums[META].encode()
        self.zip.close()

    def _add(self, name, *chunks):
        """Write a member that consists of some bytes; return its name."""
        info = ZipInfo(name)  # a fixed date: the same model gives the same bytes
        info.create_system = 3
        info.external_attr = 0o600 << 16
        info.file_size = sum(memoryview(chunk).nbytes for chunk in chunks)
        # Fill the header up, so that the data begins at a multiple of ALIGNMENT.
        start = self.file.tell() + HEADER.size + len(name) + 4
        if info.file_size * 1.05 > 2**31 - 1:  # zipfile then adds a field of its own
            start += 20
        padding = -start % ALIGNMENT
        info.extra = struct.pack("<2H", PADDING_ID, padding) + bytes(padding)

        checksum = hashlib.sha256()
        with self.zip.open(info, "w") as member:
            for chunk in chunks:
                member.write(chunk)
                checksum.update(chunk)
        self.checksums[name] = checksum.hexdigest()
        return name


class ReadFile(contextlib.AbstractContextManager):
    """A file whose members are read after their checks.

    Parameters
    ----------
    path : path-like
        The file.
    is_mapped : bool
        Whether arrays of floats are mapped into memory instead of read.
    verify : bool
        Whether the checksums of arrays of floats are checked; those of everything else
        always are.

    Attributes
    ----------
    meta : dict
        What the members mean.
    """

    def __init__(self, path, is_mapped, verify):
        self.path = Path(path)
        self.verify = verify
        self.file = open(self.path, "rb")
        try:
            self._open(is_mapped)
        except BaseException:
            self.file.close()
            raise

    def _open(self, is_mapped):
        """Read what the members are and mean, after checks of the whole file."""
        self.size = os.fstat(self.file.fileno()).st_size
        try:
            with ZipFile(self.file) as archive:
                infos = archive.infolist()
                comment = archive.comment
        except Exception as error:  # of zipfile, of many types
            raise self.damaged(f"it is not a valid zip file ({error})") from None
        self.members = self._located(infos)
        end = self._read(self.size - CHECKSUM_LENGTH, CHECKSUM_LENGTH)
        if len(comment) != CHECKSUM_LENGTH or end != comment:
            raise self.damaged("it does not end where it should")
        self.mapped = None
        if is_mapped:
            # private: what is written to the arrays does not reach the file
            self.mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.arrays = {}
        self.meta = self._read_meta(comment)

    def __exit__(self, *error):
        self.file.close()  # arrays that are mapped stay valid

    def damaged(self, why):
        """Return the ``ValueError`` for a file that cannot be read."""
        return ValueError(
            f"{str(self.path)!r} is damaged, or was not written by sktwotower: {why}."
        )

    def _located(self, infos):
        """Return where each member begins, and its size, after checks of the layout."""
        names = [info.filename for info in infos]
        for name in names:
            if not NAME.fullmatch(name):
                raise self.damaged(f"it has a member {name!r}")
        if len(set(names)) < len(names) or META not in names:
            raise self.damaged("members are missing or occur twice")
        members = {}
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            name = info.filename
            if info.compress_type != ZIP_STORED or info.flag_bits & 0x1:
                raise self.damaged(f"member {name!r} is compressed or encrypted")
            if info.compress_size != info.file_size or info.header_offset != end:
                raise self.damaged(f"member {name!r} is not where it should be")
            members[name] = self._member(info)
            end = sum(members[name])
        return members

    def _member(self, info):
        """Return where a member begins, and its size, after checks of its header."""
        header = self._read(info.header_offset, HEADER.size)
        if len(header) < HEADER.size:
            raise self.damaged(f"it ends within {info.filename!r}")
        signature, *_, name_length, extra_length = HEADER.unpack(header)
        name = self._read(info.header_offset + HEADER.size, name_length)
        if signature != b"PK\3\4" or name != info.filename.encode():
            raise self.damaged(f"the header of {info.filename!r} is another one's")
        start = info.header_offset + HEADER.size + name_length + extra_length
        if start + info.file_size > self.size:
            raise self.damaged(f"it ends within {info.filename!r}")
        return start, info.file_size

    def _read(self, start, size):
        """Return bytes of the file, fewer at its end."""
        self.file.seek(max(start, 0))
        return self.file.read(size)

    def _read_meta(self, checksum):
        """Return the dict of what the members mean, after checks."""
        data = self._read(*self.members[META])
        if hashlib.sha256(data).hexdigest().encode() != checksum:
            raise self.damaged(f"the checksum of {META} differs")
        try:
            meta = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.damaged(f"{META} is not valid JSON ({error})") from None
        checksums = None
        if isinstance(meta, dict):
            checksums = meta.get("checksums")
        others = set(self.members) - {META}
        if not isinstance(checksums, dict) or set(checksums) != others:
            raise self.damaged(f"its members are not those that {META} lists")
        return meta

    def bytes_of(self, name):
        """Return the bytes of a member, after the check of their checksum."""
        data = self._read(*self._find(name, "object"))
        self._check(name, data)
        return data

    def _find(self, name, what):
        """Return where a member that is an object or an array begins, and its size."""
        if not isinstance(name, str) or not name.startswith(f"{what}s/"):
            raise self.damaged(f"{name!r} does not name an {what}")
        if name not in self.members:
            raise self.damaged(f"the member {name!r} is missing")
        return self.members[name]

    def _check(self, name, data):
        """Raise unless the bytes of a member have its checksum."""
        if hashlib.sha256(data).hexdigest() != self.meta["checksums"][name]:
            raise self.damaged(f"the checksum of {name!r} differs")

    def array(self, name):
        """Return the array of a member; the same one if it is asked for again."""
        start, size = self._find(name, "array")
        if name not in self.arrays:
            self.arrays[name] = self._read_array(name, start, size)
        return self.arrays[name]

    def _read_array(self, name, start, size):
        """Return the array of a member of a size that begins somewhere."""
        self.file.seek(start)
        shape, is_fortran, dtype = self._array_header(name)
        header = self.file.tell() - start
        n_bytes = dtype.itemsize * math.prod(shape)
        if header + n_bytes != size:
            raise self.damaged(f"{name!r} has another size than its header says")

        # Floats are mapped. Positions never are: another process could change them
        # after the check.
        is_float = dtype.kind == "f"
        if self.mapped is not None and is_float and n_bytes:
            member = memoryview(self.mapped)[start : start + size]
        else:
            member = bytearray(size)
            self.file.seek(start)
            if self.file.readinto(member) < size:
                raise self.damaged(f"it ends within {name!r}")
        if self.verify or not is_float:
            self._check(name, member)
        order = "F" if is_fortran else "C"
        if not n_bytes:
            return np.empty(shape, dtype, order)
        data = memoryview(member)[header:]
        return np.frombuffer(data, dtype).reshape(shape, order=order)

    def _array_header(self, name):
        """Return shape, order and dtype, from the header at the file's position."""
        read = np.lib.format
        try:
            if read.read_magic(self.file) != (1, 0):
                raise ValueError("another version of the format")
            shape, fortran, dtype = read.read_array_header_1_0(self.file)
        except Exception as error:  # of many types: the header is a Python literal
            raise self.damaged(f"the header of {name!r} is invalid ({error})") from None
        fits = dtype.kind in KINDS and dtype.names is None and dtype.subdtype is None
        if not fits or not dtype.isnative or dtype.itemsize == 0:
            raise self.damaged(f"{name!r} holds {dtype}")
        if any(type(length) is not int or length < 0 for length in shape):
            raise self.damaged(f"{name!r} has the shape {shape}")
        return shape, fortran, dtype
