"""Stop strings across token boundaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosyn.runtime.errors import RequestError
from cosyn.runtime.stop import StopMatcher


def shown(stops: list[str], pieces: list[str]) -> list[str]:
    matcher = StopMatcher(stops)
    return [*(matcher.push(piece) for piece in pieces), matcher.flush()]


@pytest.mark.parametrize(
    ("stops", "pieces", "expected"),
    [
        ([], ["a", "b"], ["a", "b", ""]),
        (["END"], ["some E", "N", "D more"], ["some ", "", "", ""]),
        (["END"], ["some E", "N", "Ough"], ["some ", "", "ENOugh", ""]),
        (["END"], ["EEN", "D"], ["E", "", ""]),
        (["aab"], ["aaa", "b"], ["a", "", ""]),
        (["\n\n", "User:"], ["hi\nUse", "r:", "x"], ["hi\n", "", "", ""]),
        (["bc", "abcd"], ["xab", "cd"], ["x", "a", ""]),
        (["x"], ["only E", "N"], ["only E", "N", ""]),
        (["EN"], ["only E"], ["only ", "E"]),
    ],
)
def test_text_before_the_stop_is_shown_as_soon_as_it_is_certain(
    stops: list[str], pieces: list[str], expected: list[str]
) -> None:
    assert shown(stops, pieces) == expected


@given(st.lists(st.text("ab", max_size=3)), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_pieces_do_not_matter(pieces: list[str], stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    text = "".join(matcher.push(piece) for piece in pieces) + matcher.flush()
    whole = "".join(pieces)
    # The first place, over the text as it grows, at which some stop string is complete.
    ends = [i for i in range(len(whole) + 1) if any(whole[:i].endswith(stop) for stop in stops)]
    if not ends:
        assert text == whole
        assert matcher.hit is None
    else:
        assert matcher.hit is not None
        assert whole.startswith(text + matcher.hit)
        assert not any(stop in text for stop in stops)


def test_the_hit_is_named_and_nothing_follows() -> None:
    matcher = StopMatcher(["no", "stop"])
    assert matcher.push("a stop here") == "a "
    assert matcher.hit == "stop"
    assert matcher.push("more") == ""
    assert matcher.flush() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(RequestError, match="must not be empty"):
        StopMatcher(["a", ""])
