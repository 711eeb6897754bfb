"""What counts as a difference between two captures, and how it is told."""

from __future__ import annotations

from scripts.replay.compare import differences, report

BEFORE = {"llama": {"linear": "a\nb\nc", "attend": "x", "memory": "64"}, "gpt": {"linear": "n"}}


def changed(**llama: str) -> dict[str, dict[str, str]]:
    return BEFORE | {"llama": BEFORE["llama"] | llama}


def test_equal_captures_have_none() -> None:
    assert differences(BEFORE, changed()) == []
    assert report([], BEFORE) == "replay: the same code: 4 kernels and plans of 2 examples"


def test_a_changed_kernel_is_named_with_its_diff() -> None:
    after = changed(linear="a\nB\nc")
    (found,) = differences(BEFORE, after)
    assert (found.example, found.kernel, found.kind) == ("llama", "linear", "changed")
    text = report([found], after)
    assert "1 of 4 kernels and plans differ, in 1 of 2 examples" in text
    assert "  llama: changed linear\n" in text
    assert text.endswith("@@ -1,3 +1,3 @@\n a\n-b\n+B\n c")


def test_kernels_come_and_go() -> None:
    after = {"llama": {"linear_2": "a\nb\nc", "attend": "x", "memory": "64"}, "bert": {"linear": "n"}}
    found = [(d.example, d.kernel, d.kind) for d in differences(BEFORE, after)]
    assert found == [
        ("llama", "linear_2", "added"),
        ("llama", "linear", "removed"),
        ("bert", "linear", "added"),
        ("gpt", "linear", "removed"),
    ]


def test_a_change_is_shown_rather_than_an_addition() -> None:
    after = changed(memory="128", aaa="new")
    assert "-64\n+128" in report(differences(BEFORE, after), after)


def test_a_long_diff_is_cut() -> None:
    before = {"e": {"k": "\n".join(map(str, range(300)))}}
    after = {"e": {"k": "\n".join(map(str, range(1000, 1300)))}}
    lines = differences(before, after)[0].diff(10).splitlines()
    assert len(lines) == 11
    # Three lines of headers come first.
    assert lines[-1] == "... 593 lines more"
