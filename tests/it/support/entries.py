"""Prints the entries of a gzip or plain layer as JSON: python3 entries.py BLOB"""

import json
import sys
import tarfile

KINDS = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "hardlink"}

with tarfile.open(sys.argv[1], "r:*") as tar:
    entries = [
        {
            "name": entry.name + ("/" if entry.isdir() else ""),
            "kind": KINDS.get(entry.type, "other"),
            "mode": entry.mode,
            "uid": entry.uid,
            "gid": entry.gid,
            "mtime": int(entry.mtime),
            "link": entry.linkname,
        }
        for entry in tar
    ]
json.dump(entries, sys.stdout)
