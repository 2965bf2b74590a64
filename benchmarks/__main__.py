"""`python -m benchmarks [NAME ...]`: run benchmarks, print their tables, keep them in `benchmarks/results/`."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from benchmarks import report

NAMES = (
    "decode",
    "listen",
    "checks",
    "asr",
    "words",
    "second",
    "diarization",
    "purity",
    "pairs",
    "prepare",
    "uploads",
    "mos",
    "snr",
    "vad",
    "music",
    "bandwidth",
    "reverb",
    "doubles",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(NAMES)}; none = all")
    names = parser.parse_args().names or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    for name in names:
        _run(name)
    return 0


def _run(name: str) -> None:
    print(f"{name}: measuring ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    module = importlib.import_module(f"benchmarks.{name}")
    try:
        tables = module.run()
    except report.Missing as missing:
        print(f"{name}: skipped, {missing}", file=sys.stderr, flush=True)
        return
    path = report.write(name, module.__doc__ or "", tables)
    print(path.read_text(encoding="utf-8"), flush=True)
    print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
