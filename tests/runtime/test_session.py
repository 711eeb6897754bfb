"""Sessions: chunking, batches, reuse and saved states never change what the model computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_executor import CONTIGUOUS, FakeExecutor, ring

from cosyn.runtime.errors import ArtifactError, RequestError
from cosyn.runtime.executor import FloatArray
from cosyn.runtime.manifest import StateSpec
from cosyn.runtime.saved_state import load_state, save_state
from cosyn.runtime.session import Session

LAYERS = [(CONTIGUOUS,), (ring(5),), (CONTIGUOUS, ring(6, sinks=2)), (ring(1),), (ring(9, sinks=1), ring(3))]


def tokens(count: int, seed: int = 0) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, 50, count)]


def reference(specs: tuple[StateSpec, ...], ids: list[int]) -> FloatArray:
    """Logits after the last token, in a fresh session that takes one token at a time."""
    session = Session(FakeExecutor(*specs))
    for token in ids:
        logits = session.advance({0: [token]})[0]
    return logits


@pytest.mark.parametrize("specs", LAYERS)
@pytest.mark.parametrize("count", [1, 7, 8, 9, 40])
def test_chunked_prefill_equals_one_token_at_a_time(specs: tuple[StateSpec, ...], count: int) -> None:
    executor = FakeExecutor(*specs)
    ids = tokens(count)
    np.testing.assert_array_equal(Session(executor).advance({0: ids})[0], reference(specs, ids))
    assert len(executor.steps) == -(-count // executor.max_chunk)


def test_logits_are_asked_for_at_the_last_token_only() -> None:
    executor = FakeExecutor()
    Session(executor).advance({0: tokens(20)})
    assert [rows for *_, rows in executor.steps] == [[], [], [3]]


def test_prefill_mixes_sequences_in_a_step() -> None:
    executor = FakeExecutor()
    session = Session(executor, slots=3)
    prompts = {0: tokens(3, 1), 1: tokens(10, 2), 2: tokens(2, 3)}
    logits = session.advance(prompts)
    assert [slots for _, _, slots, _ in executor.steps] == [[0] * 3 + [1] * 5, [1] * 5 + [2] * 2]
    for slot, ids in prompts.items():
        np.testing.assert_array_equal(logits[slot], reference((CONTIGUOUS,), ids))


def test_more_sequences_than_rows_of_logits_take_more_steps() -> None:
    executor = FakeExecutor(max_out=2)
    session = Session(executor, slots=5)
    logits = session.advance({slot: [slot + 1] for slot in range(5)})
    assert [len(rows) for *_, rows in executor.steps] == [2, 2, 1]
    np.testing.assert_array_equal(logits[4], reference((CONTIGUOUS,), [5]))


@pytest.mark.parametrize("specs", LAYERS)
def test_ragged_batch_decodes_like_each_sequence_alone(specs: tuple[StateSpec, ...]) -> None:
    session = Session(FakeExecutor(*specs), slots=3)
    written = {slot: tokens(length, slot) for slot, length in enumerate((1, 17, 6))}
    logits = session.advance(written)
    for step in range(12):
        for slot, ids in written.items():
            np.testing.assert_array_equal(logits[slot], reference(specs, ids))
            ids.append((int(logits[slot].argmax()) + step) % 50)
        logits = session.advance({slot: ids[-1:] for slot, ids in written.items()})


@pytest.mark.parametrize("specs", LAYERS)
def test_reuse_after_any_change_computes_the_same(specs: tuple[StateSpec, ...]) -> None:
    random = np.random.default_rng(7)
    session = Session(FakeExecutor(*specs))
    ids = tokens(30)
    for _ in range(30):
        pending = session.begin(0, ids)
        np.testing.assert_array_equal(session.advance({0: pending})[0], reference(specs, ids))
        keep = int(random.integers(0, len(ids) + 1))
        ids = (ids[:keep] + tokens(int(random.integers(1, 20)), int(random.integers(1000))))[:60]


def test_contiguous_caches_keep_the_common_prefix() -> None:
    executor = FakeExecutor()
    session = Session(executor)
    ids = tokens(20)
    session.advance({0: session.begin(0, ids)})
    assert list(session.begin(0, [*ids[:12], 1, 2])) == [1, 2]
    assert list(session.begin(0, ids[:12])) == ids[11:12], "the last token is computed for its logits"


def test_a_ring_that_dropped_positions_starts_again() -> None:
    session = Session(FakeExecutor(ring(4)))
    ids = tokens(30)
    session.advance({0: session.begin(0, ids)})
    # 11 places hold positions 19 to 29: a token at 24 sees 21 to 24, one at 21 would see 18.
    assert len(session.begin(0, [*ids[:24], 0])) == 1
    assert len(session.begin(0, [*ids[:21], 0])) == 22


def test_going_back_does_not_bring_dropped_positions_back() -> None:
    session = Session(FakeExecutor(ring(4)))
    ids = tokens(30)
    session.advance({0: session.begin(0, ids)})
    session.begin(0, [*ids[:24], 0])
    assert len(session.begin(0, [*ids[:21], 0])) == 22


def test_all_logits_are_those_of_every_prefix() -> None:
    ids = tokens(11)
    logits = Session(FakeExecutor()).all_logits(ids)
    for i in range(len(ids)):
        np.testing.assert_array_equal(logits[i], reference((CONTIGUOUS,), ids[: i + 1]))


@pytest.mark.parametrize("specs", LAYERS)
@pytest.mark.parametrize("length", [4, 40])
def test_a_reloaded_state_goes_on_with_the_same_logits(
    specs: tuple[StateSpec, ...], length: int, tmp_path: Path
) -> None:
    session = Session(FakeExecutor(*specs), slots=2, capacity=60)
    prompts = {0: tokens(length), 1: tokens(3)}
    session.advance(prompts)
    save_state(session, tmp_path / "state", "a" * 64)
    loaded = load_state(FakeExecutor(*specs), tmp_path / "state", "a" * 64)
    for slot, ids in prompts.items():
        assert loaded.tokens(slot) == tuple(ids)
        np.testing.assert_array_equal(loaded.advance({slot: [9]})[slot], reference(specs, [*ids, 9]))
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_state_of_another_artifact_is_refused(tmp_path: Path) -> None:
    save_state(Session(FakeExecutor()), tmp_path / "state", "a" * 64)
    with pytest.raises(RequestError, match="was saved by another artifact"):
        load_state(FakeExecutor(), tmp_path / "state", "b" * 64)


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    session = Session(FakeExecutor())
    session.advance({0: tokens(5)})
    path = tmp_path / "state"
    save_state(session, path, "a" * 64)
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        load_state(FakeExecutor(), path, "a" * 64)


def test_a_missing_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"expected a saved session at .*none, found nothing"):
        load_state(FakeExecutor(), tmp_path / "none", "a" * 64)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "the prompt is empty"),
        ([1] * 65, "the prompt is too long: 65 tokens exceed the context of 64 tokens"),
        ([1, 50], "token id 50 is outside of the vocabulary of 50 tokens"),
        ([-1], "token id -1 is outside"),
    ],
)
def test_wrong_prompts_are_refused_before_anything_runs(ids: list[int], message: str) -> None:
    executor = FakeExecutor()
    with pytest.raises(RequestError, match=message) as caught:
        Session(executor).begin(0, ids)
    assert caught.value.exit_code == 2
    assert not executor.steps


def test_a_full_context_is_refused() -> None:
    session = Session(FakeExecutor(), capacity=4)
    session.advance({0: [1, 2, 3]})
    with pytest.raises(RequestError, match="3 tokens and 2 more exceed the context of 4"):
        session.advance({0: [1, 2]})


@pytest.mark.parametrize(("slots", "capacity"), [(0, None), (1, 0), (1, 65)])
def test_impossible_sessions_are_refused(slots: int, capacity: int | None) -> None:
    with pytest.raises(RequestError):
        Session(FakeExecutor(), slots=slots, capacity=capacity)
