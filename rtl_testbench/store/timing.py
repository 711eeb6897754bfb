"""The cycles of a store whose buffers grant at once and whose memory takes a beat a cycle: the README's formulas."""

from __future__ import annotations

from collections.abc import Iterator

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Register, Store, StoreMode
from cosyn.rtl_testbench.store.expected import Write

ACTIVATION_READ = 3
VECTOR_READ = 3
"""From the request of a line to the cycle that uses it, both included but the last."""


def beats(config: AcceleratorConfig, store: Store, registers: list[int]) -> Iterator[int]:
    """Cycle, after the accept, in which each stripe is complete."""
    skip = store.row // config.token_group if store.mode in (StoreMode.KEY, StoreMode.VALUE) else 0
    tile = registers[Register.KEY_TILE].bit_length() if store.mode == StoreMode.KEY else 0
    now = 2 + max(skip, tile)  # the cycle that begins the first row
    if store.mode == StoreMode.SCALE:
        now += 1
        for row in range(store.rows):
            if row == 0 or (store.source + row) % config.lanes == 0:
                now += VECTOR_READ
            yield now
            now += 1
        return
    for _ in range(store.rows):
        if store.mode == StoreMode.LINES:
            yield from (now + 2 + (index + 1) * config.stripe_lines for index in range(store.length))
            now += 3 + store.length * config.stripe_lines
            continue
        now += 1
        granule = config.chain_length if store.mode == StoreMode.KEY else min(config.chain_length, config.lanes)
        per_line = config.activation_line_bytes // granule
        slot = 0
        for _ in range(store.length):
            for _ in range(1 if store.mode == StoreMode.KEY else config.tile_columns // granule):
                if slot % per_line == 0:
                    now += ACTIVATION_READ
                slot += 1
                if store.mode == StoreMode.KEY:
                    yield now
                now += 1
            if store.mode == StoreMode.VALUE:
                for _ in range(2 * config.ring_reads):
                    yield now
                    now += 1


def occupancy(config: AcceleratorConfig, store: Store, registers: list[int]) -> int:
    """Cycles from accept to the next accept, while completions and channels have room."""
    return max(beats(config, store, registers), default=1) + 3


def bursts(config: AcceleratorConfig, store: Store, writes: list[Write]) -> Iterator[int]:
    """The lengths of the bursts, in order."""
    length = 0
    for index, write in enumerate(writes):
        length += 1
        following = writes[index + 1].stripe if index + 1 < len(writes) else -1
        single = store.mode in (StoreMode.KEY, StoreMode.SCALE)
        boundary = (write.stripe + 1) % config.burst_beats == 0
        if single or boundary or following != write.stripe + 1:
            yield length
            length = 0


def retirement(
    config: AcceleratorConfig, store: Store, registers: list[int], writes: list[Write], response: int
) -> int:
    """Cycles from accept to retirement; B comes `response` cycles after the last beat of its burst."""
    ready = list(beats(config, store, registers))
    answers: list[int] = []
    data = address = index = 0
    for length in bursts(config, store, writes):
        index += length
        address = max(ready[index - 1] + 3, address + 1)
        if len(answers) >= config.outstanding_bursts:
            address = max(address, answers[-config.outstanding_bursts] + 2)
        data = max(address, data + 1) + length - 1
        answers.append(data + response)
    return answers[-1] + 2
