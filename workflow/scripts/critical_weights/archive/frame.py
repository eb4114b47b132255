"""The bytes of a zip around its files: each must be as this workflow writes it, and none may belong to nothing.

zipfile is lenient: it passes over bytes before, between and behind the files, wrong lengths and damaged ends. All is
read from the file that zipfile reads, so that what is checked is what is unpacked, whatever the path means by then.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO
from zipfile import ZIP64_LIMIT, ZIP_FILECOUNT_LIMIT, LargeZipFile, ZipFile, ZipInfo

from .build import zip_info
from .names import shown

_CHUNK = 1 << 20
_LINE = struct.Struct("<4s4B4H3L5H2L")
"""A line of the zip's directory: signature, versions, flags, method, time, date, sizes, lengths, attributes, place."""
_END = struct.Struct("<4s4H2LH")
_NAME_AND_EXTRA = 26
"""Where a file's header has the lengths of its name and of its extra field, the last two parts before its content."""


def frame_faults(file: IO[bytes], archive: ZipFile) -> list[str]:
    """Return what is wrong with the bytes around the files, one line a fault.

    In a zip beyond 2 GB, with a file beyond it or with more than 65,535 files, whose directory has another form, the
    directory's own bytes are not compared.
    """
    try:
        return _frame_faults(file, archive)
    except (LargeZipFile, OSError, ValueError, struct.error) as error:
        # Places before the file's begin, or names too long when written as this workflow does: no zip of its making.
        return [f"the zip: its directory is not as it was made ({error})"]


def _frame_faults(file: IO[bytes], archive: ZipFile) -> list[str]:
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    faults = []
    if [info.filename for info in archive.infolist()] != sorted(info.filename for info in infos):
        faults.append("the zip: its files are not in order")
    place, directory, narrow = 0, b"", len(infos) <= ZIP_FILECOUNT_LIMIT
    for info in infos:
        wanted = zip_info(info.filename)
        wanted.CRC, wanted.compress_size, wanted.file_size = info.CRC, info.compress_size, info.file_size
        header = wanted.FileHeader(zip64=info.file_size * 1.05 > ZIP64_LIMIT)
        file.seek(max(info.header_offset, 0))
        if file.read(len(header)) != header:
            faults.append(f"{shown(info.filename)}: its header in the zip is not as it was made")
        if info.header_offset != place:
            faults.append(f"{shown(info.filename)}: bytes that belong to no file stand before it in the zip")
        narrow = narrow and max(place, info.compress_size, info.file_size) <= ZIP64_LIMIT
        if narrow:
            directory += _line(wanted, place)
        place = info.header_offset + len(header) + info.compress_size
    if place != archive.start_dir:
        faults.append("the zip: bytes that belong to no file stand behind the last one")
    if narrow and place <= ZIP64_LIMIT:
        end = directory + _END.pack(b"PK\5\6", 0, 0, len(infos), len(infos), len(directory), place, 0)
        file.seek(archive.start_dir)
        if file.read(len(end) + 1) != end:
            faults.append("the zip: its directory is not as it was made (names, times, permissions, places, end)")
    return faults


def _line(info: ZipInfo, place: int) -> bytes:
    name = info.filename.encode()
    flags = 0 if info.filename.isascii() else 0x800
    year, month, day = info.date_time[:3]
    date = (year - 1980) << 9 | month << 5 | day
    return _LINE.pack(
        b"PK\1\2", info.create_version, info.create_system, info.extract_version, 0, flags, info.compress_type, 0, date,
        info.CRC, info.compress_size, info.file_size, len(name), 0, 0, 0, 0, info.external_attr, place,
    ) + name  # fmt: skip


def ends_cleanly(file: IO[bytes], info: ZipInfo) -> bool:
    """Say whether the packed form of a file holds its content and no byte more, packed or unpacked.

    zipfile stops as soon as it has as much content as the directory tells; other programs unpack what is behind it.
    """
    unpack, left, size = zlib.decompressobj(-zlib.MAX_WBITS), info.compress_size, 0
    try:
        file.seek(info.header_offset + _NAME_AND_EXTRA)
        file.seek(sum(struct.unpack("<2H", file.read(4))), 1)
        while left and not unpack.eof and (packed := file.read(min(_CHUNK, left))):
            left -= len(packed)
            while packed and not unpack.eof:
                size += len(unpack.decompress(packed, _CHUNK))
                if size > info.file_size:  # it may go on for gigabytes
                    return False
                packed = unpack.unconsumed_tail
        size += len(unpack.flush())
    except (OSError, ValueError, struct.error, zlib.error):
        return False
    return unpack.eof and size == info.file_size and not left and not unpack.unused_data
