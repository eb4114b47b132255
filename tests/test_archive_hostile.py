"""Archives that someone built to deceive or to harm: each is refused in plain lines, at little cost."""

import hashlib
import json
import os
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from critical_weights.archive import frame
from critical_weights.archive.build import make_archive, zip_info
from critical_weights.archive.compare import compare_archives
from critical_weights.archive.extract import extract_archive
from critical_weights.archive.names import check_names
from critical_weights.archive.verify import verify_archive
from critical_weights.errors import ArchiveError
from synthetic_results import experiments, finish, make_results

LABELS = ["gradsq_perlayer_k3"]
NAME = "a.csv"
CONTENT = b"honest,1\n"
OTHER_SIZE = [f"{NAME}: its packed form is damaged, or holds more or less than the file"]


def manifest(files, **changed):
    listed = [{"path": n, "bytes": len(c), "sha256": hashlib.sha256(c).hexdigest()} | changed for n, c in files.items()]
    return json.dumps({"schema_version": "1", "archive": "x", "experiments": [], "files": listed}).encode()


def write(path, files, listing=None):
    """Write a zip as the workflow does, with this manifest or one that fits."""
    everything = files | {"manifest.json": manifest(files) if listing is None else listing}
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(everything):
            archive.writestr(zip_info(name), everything[name])
    return path


def deflated(content):
    pack = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    return pack.compress(content) + pack.flush()


def write_raw(path, members):
    """Write a zip byte by byte as the workflow does: name as it stands, packed form, content that is promised."""
    body, directory = b"", b""
    for name, packed, content in members:
        facts = struct.pack("<4H3L2H", 0, 8, 0, 33, zlib.crc32(content), len(packed), len(content), len(name), 0)
        directory += b"PK\1\2" + struct.pack("<4B", 20, 3, 20, 0) + facts
        directory += struct.pack("<3H2L", 0, 0, 0, 0o100644 << 16, len(body)) + name
        body += b"PK\3\4" + struct.pack("<H", 20) + facts + name + packed
    n = len(members)
    path.write_bytes(body + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n, n, len(directory), len(body), 0))
    return path


def write_packed(path, packed, content=CONTENT):
    """Write a zip whose one file promises this content and has this packed form."""
    listing = manifest({NAME: content})
    members = [(NAME.encode(), packed, content), (b"manifest.json", deflated(listing), listing)]
    return write_raw(path, members)


def peak_of(path):
    tracemalloc.start()
    try:
        return verify_archive(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_the_builders_here_write_is_sound(tmp_path):
    assert verify_archive(write(tmp_path / "a.zip", {NAME: CONTENT})) == []
    assert verify_archive(write_packed(tmp_path / "b.zip", deflated(CONTENT))) == []
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


# ---------------------------------------------------------------------------------------------- what is packed inside


def test_content_hidden_behind_the_promised_one_is_refused(tmp_path):
    assert verify_archive(write_packed(tmp_path / "a.zip", deflated(CONTENT + b"hidden\n"))) == OTHER_SIZE


def test_one_byte_too_much_is_refused_even_where_it_comes_last(tmp_path):
    content = os.urandom(1 << 20)
    assert verify_archive(write_packed(tmp_path / "a.zip", deflated(content), content)) == []
    assert verify_archive(write_packed(tmp_path / "a.zip", deflated(content + b"x"), content)) == OTHER_SIZE


def test_a_file_that_unpacks_to_less_than_the_directory_says_is_refused(tmp_path):
    path = write_packed(tmp_path / "a.zip", deflated(CONTENT))
    sizes = struct.pack("<2L", len(deflated(CONTENT)), len(CONTENT))
    content = path.read_bytes()
    assert content.count(sizes) == 2
    path.write_bytes(content.replace(sizes, sizes[:4] + struct.pack("<L", len(CONTENT) + 1)))
    assert verify_archive(path) == OTHER_SIZE


def test_what_is_packed_behind_the_promised_content_is_not_unpacked_to_its_end(tmp_path, monkeypatch):
    given = 0

    class Counting:
        def __init__(self, window):
            self.one = zlib.decompressobj(window)

        def decompress(self, *arguments):
            nonlocal given
            content = self.one.decompress(*arguments)
            given += len(content)
            return content

        def __getattr__(self, name):
            return getattr(self.one, name)

    path = write_packed(tmp_path / "a.zip", deflated(CONTENT + bytes(64 << 20)))
    only = type("Zlib", (), {"decompressobj": Counting, "MAX_WBITS": zlib.MAX_WBITS, "error": zlib.error})
    monkeypatch.setattr(frame, "zlib", only)
    assert verify_archive(path) == OTHER_SIZE
    assert 0 < given < 4 << 20


def test_bytes_behind_a_packed_form_that_ends_with_a_piece_read_are_refused(tmp_path):
    size = (1 << 16) - 5  # 16 stored blocks with their headers are 1 MiB, which is read in one piece
    blocks = [struct.pack("<BHH", last, size, size ^ 0xFFFF) + bytes(size) for last in [0] * 15 + [1]]
    path, packed = tmp_path / "a.zip", b"".join(blocks)
    assert verify_archive(write_packed(path, packed, bytes(16 * size))) == []
    assert verify_archive(write_packed(path, packed + b"hidden", bytes(16 * size))) == OTHER_SIZE


def test_a_manifest_that_unpacks_to_more_than_promised_takes_little_memory(tmp_path):
    listing = manifest({})
    packed = deflated(listing + bytes(64 << 20))
    faults, peak = peak_of(write_raw(tmp_path / "a.zip", [(b"manifest.json", packed, listing)]))
    assert faults == ["manifest.json: its packed form is damaged, or holds more or less than the file"]
    assert peak < 8 << 20


# -------------------------------------------------------------------------------------------------------- the manifest


@pytest.mark.parametrize("size", [-1, -5, True, False, 9.0, 3.7, float("inf"), float("nan"), "9", None, []])
def test_bytes_that_are_no_whole_number_are_refused(tmp_path, size):
    files = {NAME: CONTENT}
    path = write(tmp_path / "a.zip", files, manifest(files, bytes=size))
    told = f"manifest.json: cannot be read (bytes of {NAME} is no whole number of at least 0)."
    assert verify_archive(path) == [told]


def test_a_number_beyond_all_bounds_is_refused(tmp_path):
    files = {NAME: CONTENT}
    listing = manifest(files).replace(b'"bytes": 9', b'"bytes": 1e400')
    (fault,) = verify_archive(write(tmp_path / "a.zip", files, listing))
    assert fault.startswith("manifest.json: cannot be read (bytes of a.csv is no whole number")


def test_a_negative_size_does_not_make_a_whole_file_be_held_in_memory(tmp_path):
    files = {NAME: bytes(64 << 20)}
    faults, peak = peak_of(write(tmp_path / "a.zip", files, manifest(files, bytes=-5)))
    assert len(faults) == 1
    assert peak < 8 << 20


@pytest.mark.parametrize("version", ["\x1b[31mred", "\ud800", "1\n[archive] matches", ["\x1b[31m"], None, 1])
def test_a_schema_cannot_write_to_the_terminal(tmp_path, version):
    listing = json.dumps({"schema_version": version, "files": []}).encode()
    (fault,) = verify_archive(write(tmp_path / "a.zip", {}, listing))
    assert fault.startswith("manifest.json: is of another schema; got ")
    assert fault.isprintable()


def test_a_hash_cannot_write_to_the_terminal(tmp_path):
    files = {NAME: CONTENT}
    (fault,) = verify_archive(write(tmp_path / "a.zip", files, manifest(files, sha256="\x1b[31m\ud800")))
    assert fault.startswith(f"{NAME}: was changed, its SHA-256 is ")
    assert fault.isprintable()


# ------------------------------------------------------------------------------------------------------- the directory


def directory_faults(faults):
    return [line for line in faults if line.startswith("the zip: its directory is not as it was made")]


def test_a_name_that_is_longer_in_utf_8_than_a_zip_can_hold_is_one_fault(tmp_path):
    listing = manifest({})
    members = [(b"\x80" * 40_000, deflated(b"x"), b"x"), (b"manifest.json", deflated(listing), listing)]
    faults = verify_archive(write_raw(tmp_path / "a.zip", members))
    assert len(directory_faults(faults)) == 1
    assert len(faults) == 2
    assert faults[0].endswith(": added, the manifest does not list it")


def shift(content, by, but):
    """Say that the directory begins later than it does, and so all files but one."""
    end, shifted = content.rindex(b"PK\5\6"), bytearray(content)
    place = struct.unpack_from("<L", content, end + 16)[0]
    struct.pack_into("<L", shifted, end + 16, place + by)
    while content[place : place + 4] == b"PK\1\2":
        lengths = struct.unpack_from("<3H", content, place + 28)
        if content[place + 46 :][: lengths[0]] != but.encode():
            struct.pack_into("<L", shifted, place + 42, struct.unpack_from("<L", content, place + 42)[0] + by)
        place += 46 + sum(lengths)
    return bytes(shifted)


def test_a_place_before_the_files_begin_is_one_fault(tmp_path):
    path = write(tmp_path / "a.zip", {NAME: CONTENT, "b.csv": b"x"})
    path.write_bytes(shift(path.read_bytes(), 0x10000000, NAME))
    faults = verify_archive(path)
    assert len(directory_faults(faults)) == 1
    assert [line for line in faults if line not in directory_faults(faults)] == [
        f"{NAME}: is damaged, it cannot be unpacked ([Errno 22] Invalid argument)"
    ]


def test_a_place_beyond_all_files_is_told(tmp_path):
    content = write(tmp_path / "a.zip", {NAME: CONTENT}).read_bytes()
    start, end = content.index(b"PK\1\2"), content.rindex(b"PK\5\6")
    line, rest = bytearray(content[start : start + 46 + len(NAME)]), content[start + 46 + len(NAME) : end]
    extra = struct.pack("<2HQ", 1, 8, 2**64 - 1)
    struct.pack_into("<H", line, 30, len(extra))
    struct.pack_into("<L", line, 42, 0xFFFFFFFF)
    last = bytearray(content[end:])
    struct.pack_into("<L", last, 12, len(line) + len(extra) + len(rest))
    path = tmp_path / "b.zip"
    path.write_bytes(content[:start] + line + extra + rest + last)
    faults = verify_archive(path)
    assert faults[0].startswith(f"{NAME}: is damaged, it cannot be unpacked (")
    assert len(directory_faults(faults)) == 1


def test_a_file_too_large_for_a_plain_directory_is_sound(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(frame, "ZIP64_LIMIT", 1000)
    assert verify_archive(write(tmp_path / "a.zip", {NAME: bytes(5000), "b.csv": b"x"})) == []


# ----------------------------------------------------------------------------------------------------------- unpacking


@pytest.mark.parametrize("name", ["d" * 300 + "/a.csv", "f" * 300, "x/" * 3000 + "a.csv"])
def test_a_name_too_long_for_the_disk_is_told_in_one_line(tmp_path, name):
    path = write(tmp_path / "a.zip", {name: CONTENT})
    with pytest.raises(ArchiveError, match=f"^{name} could not be unpacked .*File name too long"):
        extract_archive(path, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


# ---------------------------------------------------------------------------- names that would make a refused archive


@pytest.mark.parametrize(
    "phase, told",
    [
        ("notes: todo", "has a colon, .*no archive can hold it"),
        ("a\\b", "has a backslash"),
        ("a\n| `fake.csv` | 1 |", "has a control character"),
        ("a|b", r"has the character \|"),
        ("con", "has the name con, which is a device on Windows"),
        ("p1.", "has a name that ends in a dot"),
        ("readme.md", r"lies in a folder that is a file too, README\.md; no archive can hold both"),
    ],
)
def test_a_name_that_the_check_would_refuse_is_refused_before(tmp_path, phase, told):
    """By hand: the config takes no such names, but for the last three, which the workflow refuses at its start."""
    try:
        root = make_results(tmp_path / "results", LABELS, phase=phase)
    except OSError:
        pytest.skip("the file system does not take such names")
    finish(root, LABELS, phase=phase)
    with pytest.raises(ArchiveError, match=f"{told}.*Choose another name for its phase or model") as caught:
        make_archive(root, experiments(LABELS, phase), tmp_path / "archive")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "archive").exists()


def test_two_phases_that_are_one_where_capitals_do_not_count_are_refused():
    with pytest.raises(ArchiveError, match=r"p2/x\.csv is the same file as P2/x\.csv .*no archive can hold both"):
        check_names(["P2/x.csv", "p2/x.csv"])


def test_a_name_that_is_not_utf_8_is_refused():
    with pytest.raises(ArchiveError, match=r"^'p2/bad\\udcff' has a control character or another one that is not"):
        check_names(["p2/bad\udcff"])


def test_archives_without_the_list_for_people_or_with_a_damaged_one_are_compared_all_the_same(tmp_path):
    """No work of this workflow's, but true to their own manifests."""
    a, b = (write(tmp_path / f"{n}.zip", {NAME: content}) for n, content in (("a", CONTENT), ("b", b"other,1\n")))
    assert compare_archives(a, b).unexpected == [f"{NAME}: differs"]
    c, d = (
        write(tmp_path / f"{n}.zip", {NAME: CONTENT, "MANIFEST.md": c}) for n, c in (("c", b"\xff"), ("d", b"\xfe1"))
    )
    assert compare_archives(a, c).unexpected == [f"MANIFEST.md: only in {c}"]
    assert compare_archives(c, d).unexpected == [
        "MANIFEST.md: differs in more than the lines of the files that may differ"
    ]
