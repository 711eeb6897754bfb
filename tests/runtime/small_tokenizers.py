"""Two small tokenizers of the kinds that language models have."""

from __future__ import annotations

from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

TEXT = "Once upon a time — “ça va?” 你好, 👩‍🚀 flew;  two spaces\n\tand a tab. Ünïcödé!"


def byte_level() -> Library:
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator([TEXT[:20]] * 3, trainers.BpeTrainer(initial_alphabet=alphabet, vocab_size=280))
    return library


def sentencepiece() -> Library:
    """As Llama's: ▁ for spaces, one before the text, and bytes for what the vocabulary lacks."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *"Oacdeilmnoptu.,?;"]
    words += ["▁t", "▁ti", "me", "▁time", "▁u", "po", "▁a", "▁and"]
    merges = [("▁", "t"), ("▁t", "i"), ("m", "e"), ("▁ti", "me"), ("▁", "u"), ("p", "o"), ("▁", "a")]
    library = Library(models.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="<unk>", byte_fallback=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    return library
