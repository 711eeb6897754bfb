"""Runs on aarch64: greedy continuations of artifacts, as JSON.

    aarch64_greedy.py COUNT PROMPT FOLDER…

PROMPT: token ids with commas. Prints one list of COUNT token ids per folder, by the folder's name, and this CPU's
features.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cosyn.runtime import host_cpu, load


def main(count: int, prompt: list[int], folders: list[Path]) -> None:
    tokens = {}
    for folder in folders:
        out = load(folder, threads=1).generate(prompt, max_new_tokens=count, temperature=0, ignore_eos=True)
        tokens[folder.name] = out.token_ids
    print(json.dumps({"tokens": tokens, "features": sorted(host_cpu.features())}))


main(int(sys.argv[1]), [int(i) for i in sys.argv[2].split(",")], [Path(a) for a in sys.argv[3:]])
