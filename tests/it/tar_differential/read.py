"""Prints how Python's tarfile reads each archive, one line of JSON for each: python3 read.py ARCHIVE..."""

import hashlib
import json
import math
import sys
import tarfile

KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}
XATTR = "SCHILY.xattr."


def raw(text):
    return text.encode("utf-8", "surrogateescape").hex()


def number(value):
    """What JSON readers can hold; nobody accepts more."""
    return max(-(2**62), min(2**62, math.floor(value)))


def view(tar, entry):
    kind = KINDS.get(entry.type, repr(entry.type))
    device = kind in ("char", "block")
    content = hashlib.sha256()
    if kind == "file":
        reader = tar.extractfile(entry)
        while block := reader.read(1 << 16):
            content.update(block)
    return {
        "path": raw(entry.name),
        "kind": kind,
        "size": number(entry.size),
        "mode": number(entry.mode),
        "uid": number(entry.uid),
        "gid": number(entry.gid),
        "mtime": number(entry.mtime),
        "link": raw(entry.linkname) if kind in ("symlink", "hardlink") else "",
        "device": [number(entry.devmajor), number(entry.devminor)] if device else None,
        "content": content.hexdigest(),
        "xattrs": {raw(key[len(XATTR) :]): raw(value) for key, value in entry.pax_headers.items() if key.startswith(XATTR)},
    }


def read(path):
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            return {"entries": [view(tar, entry) for entry in tar]}
    except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}


for archive in sys.argv[1:]:
    print(json.dumps(read(archive)))
