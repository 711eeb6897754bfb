"""Compares the code that this working tree generates with a base revision's; `make replay BASE=main`.

Exit code 1: kernels differ, and no commit since the base has `[codegen]` in its message.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.replay.compare import differences, report
from scripts.replay.revisions import MARKER, ReplayError, announced, capture_tree, checked_out, find_base

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make replay", description=__doc__)
    parser.add_argument("--base", default="main", help="branch or revision to compare with (default: main)")
    parser.add_argument("--allow", action="store_true", help=f"differences are meant, as with {MARKER}")
    parser.add_argument("--report", action="store_true", help="for CI: tell, and never fail")
    parser.add_argument("models", nargs="*", help="only these models (default: all)")
    arguments = parser.parse_args()
    try:
        base = find_base(ROOT, arguments.base)
        with checked_out(ROOT, base) as folder:
            before = capture_tree(folder, arguments.models)
        after = capture_tree(ROOT, arguments.models)
        allowed = arguments.allow or announced(ROOT, base)
    except ReplayError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 0 if arguments.report else 2
    found = differences(before, after)
    print(f"replay: {base[:12]} against the working tree")
    print(report(found, after))
    if not found or allowed or arguments.report:
        return 0
    print(f"\nIf this is meant, say {MARKER} in a commit message, or give --allow.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
