"""Turn documents into training batches and into the windows that score a text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizer import BOS_ID, EOS_ID
from tokenizers import Tokenizer
from torch import Tensor


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of `text` alone, without <bos>."""
    return tokenizer.encode(text, add_special_tokens=False).ids


class Stream:
    """All training documents in one row, from which windows start at paragraphs."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        ids: list[int] = []
        starts: list[int] = []
        for text in texts:
            encoding = tokenizer.encode(text, add_special_tokens=False)
            for index, (begin, _) in enumerate(encoding.offsets):
                if begin == 0 or (text[begin - 1] == "\n" and text[begin] != "\n"):
                    starts.append(len(ids) + index)
            ids += [*encoding.ids, EOS_ID, BOS_ID]
        self.ids = torch.tensor(ids, dtype=torch.long)
        self.starts = torch.tensor(starts, dtype=torch.long)

    def batch(self, rows: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs opened by <bos> and their targets; a prompt in use also starts with <bos> and clean text."""
        # Stepping back from a uniform place weighs paragraphs by length; short ones would crowd out prose.
        places = torch.randint(len(self.ids), (rows,), generator=generator)
        picks = self.starts[torch.searchsorted(self.starts, places, right=True) - 1]
        # Wrapping round keeps the last paragraphs as likely as the others.
        at = (picks[:, None] + torch.arange(length)) % len(self.ids)
        targets = self.ids[at]
        inputs = torch.cat((torch.full((rows, 1), BOS_ID), targets[:, :-1]), dim=1)
        return inputs, targets


def windows(ids: Sequence[int], positions: int) -> list[list[int]]:
    """Non-overlapping windows, each <bos> and up to positions - 1 tokens of the text."""
    step = positions - 1
    return [[BOS_ID, *ids[i : i + step]] for i in range(0, len(ids), step)]
