"""What the benchmarks share: measuring commands in interleaved rounds, and judging the medians."""

import hashlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
TREE_BYTES = 1 << 30


def make_once(path, make):
    """Calls make(unfinished) unless path is there, so that an interrupted copy is never taken for a tree."""
    if not path.exists():
        print(f"making {path.name} ...", flush=True)
        unfinished = path.with_name(path.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(path)


def make_real_tree(tree):
    """About 1 GiB of whole directories of /usr, picked by the hash of their name: some of everything, the same every time."""
    directories = []
    for directory, _, files in os.walk("/usr"):
        paths = [os.path.join(directory, name) for name in files]
        size = sum(os.lstat(path).st_size for path in paths)
        if size <= TREE_BYTES // 8:
            directories.append((hashlib.sha256(directory.encode(errors="surrogateescape")).digest(), paths, size))
    chosen, total = [], 0
    for _, paths, size in sorted(directories):
        if total + size <= TREE_BYTES:
            chosen += paths
            total += size
    listing = tree.with_name(tree.name + ".list")
    listing.write_bytes(b"\0".join(os.fsencode(path) for path in sorted(chosen)))
    shell(f"tar -C / -cf - --no-recursion --null -T {quote(listing)} 2>/dev/null | tar -C {quote(tree)} -xpf -")
    listing.unlink()


def quote(path):
    return shlex.quote(str(path))


def shell(script):
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True, stdin=subprocess.DEVNULL)


def busy_seconds():
    """CPU seconds the whole machine has spent since it started, idle and waiting left out."""
    fields = [int(field) for field in open("/proc/stat").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


# A small process of its own, because the peak of a command begins with that of whoever starts it.
MEASURE = """
import os, sys, time
start = time.monotonic()
child = os.spawnvp(os.P_NOWAIT, "bash", ["bash", "-euo", "pipefail", "-c", sys.argv[1]])
_, status, usage = os.wait4(child, 0)
print(time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""


class Sample:
    """What one run of one command took. The peak is that of its largest process, and never under Python's own 10 MiB."""

    def __init__(self, command, log):
        os.sync()
        busy = busy_seconds()
        measure = [sys.executable, "-SEc", MEASURE, f"exec >{quote(log)} 2>&1\n{command}"]
        told = subprocess.run(measure, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.split()
        self.wall, self.cpu, self.peak, status = float(told[0]), float(told[1]), int(told[2]) * 1024, int(told[3])
        self.others = max(0.0, busy_seconds() - busy - self.cpu) / (self.wall * os.cpu_count())
        self.size = 0
        if status != 0:
            sys.exit(f"compare: exit status {status} from: {command}\n{Path(log).read_text(errors='replace')}")


class Row:
    """One command under test. `out` is its own directory; `fresh` empties that before every run; `sized` rows make one large file;
    `judge` returns what is wrong with what a run printed, if anything."""

    def __init__(self, name, title, work, command, fresh=True, before=None, expect=None, sized=True, judge=None):
        self.name, self.title, self.fresh, self.before, self.expect, self.sized = name, title, fresh, before, expect, sized
        self.judge = judge
        self.out = work / "out" / name
        self.command = command(self.out)
        self.samples = []

    def run(self):
        first = not self.out.exists()
        if self.fresh or first:
            shutil.rmtree(self.out, ignore_errors=True)
            self.out.mkdir(parents=True)
        log = self.out.with_suffix(".log")
        if not self.fresh and first:
            Sample(self.command, log)
        names = self.names()
        if self.before:
            self.before()
        sample = Sample(self.command, log)
        if self.expect == "same" and self.names() != names:
            sys.exit(f"compare: {self.title}: the same tree gave another image")
        if self.expect == "other" and self.names() == names:
            sys.exit(f"compare: {self.title}: a changed tree gave the same image")
        if self.judge and (wrong := self.judge(log.read_text())):
            sys.exit(f"compare: {self.title}: {wrong}")
        if self.fresh and self.sized:
            sample.size = max((path.stat().st_size for path in self.result().rglob("*") if path.is_file()), default=0)
        self.samples.append(sample)

    def result(self):
        """The image layout, or the directory of the one file."""
        layout = self.out / "oci"
        return layout if layout.exists() else self.out

    def names(self):
        index = self.out / "oci" / "index.json"
        return index.read_bytes() if index.exists() else b""

    def median(self, field):
        return statistics.median(getattr(sample, field) for sample in self.samples)


def larder_binary(given):
    """The binary under test: the one that was given, or a fresh release build."""
    if given:
        return given.resolve()
    subprocess.run(["cargo", "build", "--release", "--locked"], check=True, cwd=ROOT)
    return ROOT / "target" / "release" / "larder"


def run_rounds(rows, rounds):
    for number in range(rounds):
        for row in rows.values():
            print(f"round {number + 1} of {rounds}: {row.title}".ljust(78), end="\r", file=sys.stderr, flush=True)
            row.run()
    print(" " * 78, end="\r", file=sys.stderr, flush=True)


def print_rows(rows):
    print(f"\n{'':<36}{'wall s':>9}{'cpu s':>9}{'peak MiB':>10}{'size MB':>10}{'others':>8}")
    for row in rows.values():
        size = row.median("size") / 1e6
        print(
            f"{row.title:<36}{row.median('wall'):>9.2f}{row.median('cpu'):>9.2f}{row.median('peak') / MIB:>10.0f}"
            f"{f'{size:.1f}' if size else '-':>10}{row.median('others'):>8.0%}"
        )


def comparisons(rows):
    """Two makers of targets (what, measured, limit, a number is printed as), which yield nothing for rows that did not run."""

    def ratio(row, other, limit, field="wall"):
        if row in rows and other in rows:
            yield f"{rows[row].title} / {rows[other].title}, {field}", rows[row].median(field) / rows[other].median(field), limit, "{:.3f}"

    def value(row, field, scale, limit, unit):
        if row in rows:
            yield f"{rows[row].title}, {field} {unit}", rows[row].median(field) / scale, limit, "{:.2f}"

    return ratio, value


def print_targets(targets):
    """Prints them, and returns how many were missed."""
    missed = 0
    print(f"\n{'target':<80}{'measured':>10}{'limit':>8}")
    for what, measured, limit, form in targets:
        verdict = "" if limit is None else "PASS" if measured <= limit else "FAIL"
        missed += verdict == "FAIL"
        print(f"{what:<80}{form.format(measured):>10}{'' if limit is None else f'{limit:g}':>8}  {verdict}".rstrip())
    return missed
