"""cosyn: an artifact of each recipe, driven through its session, without a sampler.

What it is asked for is a recipe, or a recipe and a target after a space.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import cosyn
from benchmarks.cpu.engines.serve import DECODED_BEFORE, Loaded, random_tokens, seconds, serve
from benchmarks.cpu.measurement import Test
from benchmarks.cpu.shapes import MAX_SEQ, Shape, write_random_model
from cosyn.runtime import load
from cosyn.runtime.session import Session

ROOT = Path(__file__).resolve().parents[3]
_STAMP = "made_by.txt"


class Cosyn:
    """One artifact, and a session for each context, so that what one has cached stays."""

    def prepare(self, shape: Shape, bits: str, folder: Path) -> None:
        """The artifact, made again when the compiler has changed."""
        path, stamp = _path(folder, bits), compiler_stamp()
        if (path / _STAMP).exists() and (path / _STAMP).read_text(encoding="utf-8") == stamp:
            return
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        model = write_random_model(shape, folder / "hf")
        recipe, _, target = bits.partition(" ")
        words = ["compile", model, "--target", target or "cpu", "--recipe", recipe, "--max-seq", MAX_SEQ, "-o", path]
        subprocess.run([sys.executable, "-m", "cosyn", *map(str, words), "--quiet"], check=True, cwd=ROOT)
        (path / _STAMP).write_text(stamp, encoding="utf-8")

    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        self._model = load(_path(folder, bits), threads=threads, context=1)
        self._tokens = random_tokens(shape, MAX_SEQ)
        self._sessions: dict[str, Session] = {}
        manifest = self._model.manifest
        kv = sum(s.bytes_per_position for s in manifest.states)
        return Loaded(cosyn.__version__, manifest.weight_bytes_per_token, kv)

    def measure(self, test: Test) -> float:
        name = f"{test.kind} {test.tokens} {test.context}"
        warm = name in self._sessions
        if not warm:
            self._sessions[name] = Session(self._model.executor, capacity=test.length)
        session = self._sessions[name]
        tokens = self._tokens[: test.length]

        def prompt() -> None:
            session.clear()
            session.advance({0: tokens})

        def decode(count: int = test.tokens) -> None:
            for token in tokens[test.context : test.context + count]:
                session.advance({0: [token]})

        if test.kind == "prefill":
            if not warm:
                prompt()
            return seconds(prompt)
        if not warm:
            self._rewind(session, tokens[: test.context + 1])
            decode(DECODED_BEFORE)
        self._rewind(session, tokens[: test.context + 1])
        return seconds(decode)

    def _rewind(self, session: Session, tokens: list[int]) -> None:
        """Let the session hold all but the last of `tokens`."""
        missing = session.begin(0, tokens)[:-1]
        if missing:
            session.advance({0: missing})


def compiler_stamp() -> str:
    """What an artifact depends on beside the model: a digest of the compiler's sources."""
    digest = hashlib.sha256()
    for room in ("ir", "passes", "targets", "codegen"):
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in {".py", ".yaml"} and "fpga" not in path.parts:
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _path(folder: Path, bits: str) -> Path:
    return folder / "cosyn" / bits.replace(" ", "-").replace(":", "-")


if __name__ == "__main__":
    serve(Cosyn())
