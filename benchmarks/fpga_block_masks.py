"""What a block mask saves a layer of LLaMA2-7B on `u280`, in the cycle simulator: the table of docs/accelerator.md.

python benchmarks/fpga_block_masks.py           # cycles and bytes of the cache
python benchmarks/fpga_block_masks.py --bytes   # of the programs of one token, of all 32 layers (minutes)
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from cosyn.accelerator_model.isa import Load, LoadTarget, ld_meaning
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.timed import TimedRun
from cosyn.codegen.block_mask import KEY, LoadedMask
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.random_model import LLAMA2_7B, place_model
from cosyn.codegen.fpga.regions import Layout
from cosyn.codegen.fpga.search_pieces import best_pieces
from cosyn.passes.sparse_attention import BlockMask

U280 = load_config("u280")
HEADS, NEAR = 32, 256


def typical(length: int, block: int) -> LoadedMask:
    """The last 256 positions in whole blocks, the first block, and every fourth: another for each 8 heads."""
    rows = length // block
    i, j, h = np.arange(rows)[:, None], np.arange(rows)[None], np.arange(HEADS)[:, None, None]
    seen = ((i >= j) & (i - j < NEAR // block)) | (j == 0) | (j % 4 == h // 8 % 4)
    return LoadedMask(BlockMask(KEY, HEADS, rows, block), seen.astype(np.uint8))


def place(length: int, layers: int, mask: LoadedMask | None, window: int = 0, sinks: int = 0) -> Layout:
    """Where the model lies."""
    shape = {**LLAMA2_7B, "num_hidden_layers": layers}
    return place_model(shape, U280, "w4a8_g32", length, seed=1, window=window, sinks=sinks, mask=mask).layout


def measured(layout: Layout, tokens: int) -> tuple[int, int]:
    """Cycles between the ends of two attentions in the last step that fits, and bytes of keys and values read in a
    layer, of all cores.
    """
    position = layout.plan.max_seq - tokens
    pieces = best_pieces(layout, tokens)
    program = compile_step(layout, tokens, pieces, span=layout.span_at(position)).program()
    registers = register_file(layout.registers(position, tokens))
    run = TimedRun(U280, program, registers, None).run()
    first, second = (node.name for node in layout.plan.roles.steps() if node.op == "attend")
    ends = {name: max(r.end for r in run.retirements if r.node.partition(":")[0] == name) for name in (first, second)}
    stripes = sum(
        ld_meaning.shape(load, registers).stripes
        for core in program.cores
        for load in core.instructions
        if isinstance(load, Load) and load.target == LoadTarget.KV
    )
    return ends[second] - ends[first], stripes * U280.stripe_bytes // 2


def lines() -> Iterator[str]:
    """The table's rows."""
    for length in (2048, 4096):
        cases = {
            "everything": place(length, 2, None),
            "the mask, blocks of 64": place(length, 2, typical(length, 64)),
            "the mask, blocks of 128": place(length, 2, typical(length, 128)),
            "a window of 256 after 64 sinks": place(length, 2, None, NEAR, 64),
        }
        for name, layout in cases.items():
            one, eight = measured(layout, 1), measured(layout, 8)
            yield f"| {length:,} | {name} | {one[1] / 2**20:.1f} MiB | {one[0]:,} | {eight[0]:,} |"


def program_bytes(length: int, block: int) -> str:
    """Of all programs for one token, with the mask and without."""
    dense = sum(compile_step(place(length, 32, None), 1).instructions) * 64
    layout = place(length, 32, typical(length, block))
    spans = range(len(layout.plan.spans))
    total = sum(sum(compile_step(layout, 1, span=span).instructions) for span in spans) * 64
    tables = sum(layout.plan.penalties.stripes) * U280.stripe_bytes
    return (
        f"blocks of {block} to {length:,}: {len(spans)} programs, {total:,} bytes; one without, {dense:,} bytes;"
        f" penalties {tables:,} bytes"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", action="store_true", help="only the bytes of programs")
    if parser.parse_args().bytes:
        print(program_bytes(2048, 128), program_bytes(2048, 64), sep="\n", flush=True)
        return
    print("| positions | attention sees | keys and values read | 1 token | 8 tokens |\n|---|---|---:|---:|---:|")
    for line in lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()
