"""Which commit is the base, and what its messages announce."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.replay.revisions import ReplayError, announced, capture_tree, checked_out, find_base, git


def commit(root: Path, message: str) -> str:
    (root / "file").write_text(message)
    git(root, "add", "file")
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    git(root, *author, "commit", "-q", "-m", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path, "first")
    return tmp_path


def test_the_base_is_where_the_branch_began(repository: Path) -> None:
    start = commit(repository, "second")
    git(repository, "checkout", "-q", "-b", "work")
    commit(repository, "third")
    git(repository, "checkout", "-q", "main")
    commit(repository, "meanwhile")
    git(repository, "checkout", "-q", "work")
    assert find_base(repository, "main") == start


def test_on_the_base_it_is_the_parent_or_head_with_changes(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    second = commit(repository, "second")
    assert find_base(repository, "main") == first
    (repository / "file").write_text("edited")
    assert find_base(repository, "main") == second


def test_a_clone_without_history_says_so(repository: Path) -> None:
    with pytest.raises(ReplayError, match="no parent to compare with"):
        find_base(repository, "main")
    with pytest.raises(ReplayError, match="HEAD and 'elsewhere' share"):
        find_base(repository, "elsewhere")


def test_a_message_announces_changes(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    commit(repository, "Rename a function")
    assert not announced(repository, base)
    commit(repository, "Unroll the loop\n\n[codegen] two words at a time")
    commit(repository, "Write about it")
    assert announced(repository, base)


def test_the_base_is_checked_out_and_removed_again(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    commit(repository, "second")
    with checked_out(repository, base) as folder:
        assert (folder / "file").read_text() == "first"
        with pytest.raises(ReplayError, match="no capture of its own yet"):
            capture_tree(folder)
    assert not folder.exists()
    assert git(repository, "worktree", "list").count("\n") == 0
