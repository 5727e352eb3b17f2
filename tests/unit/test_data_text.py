"""Tokenizers that are trained here, and encoding with any tokenizer."""

from __future__ import annotations

import pickle
import time

import pytest

from zoo.contract.spec import TextInput
from zoo.errors import DataError
from zoo.modalities.text.tokenization import TextEncoder, train_tokenizer

TEXTS = ["The cat sat on the mat.", "A dog sat on the log!", "the cat and the dog"] * 5


def test_special_tokens_have_fixed_places_and_case_does_not_matter():
    tokenizer = train_tokenizer(TEXTS, 100)
    assert (tokenizer.token_to_id("[PAD]"), tokenizer.token_to_id("[UNK]")) == (0, 1)
    assert tokenizer.encode("THE CAT").ids == tokenizer.encode("the cat").ids
    assert tokenizer.encode("the cat").tokens == ["the", "cat"]


@pytest.mark.parametrize("size", [10, 25, 1000])
def test_the_vocabulary_has_at_most_the_size_asked_for(size):
    assert train_tokenizer(TEXTS, size).get_vocab_size() <= size


def test_the_tokenizer_is_the_same_every_time():
    assert train_tokenizer(TEXTS, 60).to_str() == train_tokenizer(TEXTS, 60).to_str()


def test_a_script_without_spaces_is_not_all_unknown():
    tokenizer = train_tokenizer(["我喜欢这部电影", "我不喜欢这部电影"] * 5, 100)
    assert 1 not in tokenizer.encode("我喜欢电影").ids


def test_encoding_cuts_at_the_maximum_length_with_special_tokens():
    from tokenizers.processors import TemplateProcessing

    tokenizer = train_tokenizer([*TEXTS, "[CLS] [SEP]"], 100)
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    first, last = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", first), ("[SEP]", last)]
    )
    encoder = TextEncoder(tokenizer, TextInput(max_length=5))
    (ids,) = encoder.encode(["the cat and the dog and the cat"])
    assert len(ids) == 5
    assert (ids[0], ids[-1]) == (first, last)


def test_the_tokenizer_that_was_given_is_not_changed():
    tokenizer = train_tokenizer(TEXTS, 100)
    before = tokenizer.to_str()
    TextEncoder(tokenizer, TextInput(max_length=2)).encode(["the cat and the dog"])
    assert tokenizer.to_str() == before


def test_a_tokenizer_s_own_padding_is_ignored():
    tokenizer = train_tokenizer(TEXTS, 100)
    tokenizer.enable_padding(length=50)
    encoder = TextEncoder(tokenizer, TextInput(max_length=20))
    assert [len(ids) for ids in encoder.encode(["the cat", "the"])] == [2, 1]


def test_a_text_of_nothing_still_has_a_token():
    encoder = TextEncoder(train_tokenizer(TEXTS, 100), TextInput(max_length=8))
    assert encoder.encode(["", "   "]) == [[1], [1]]


def test_padding_uses_the_network_s_pad_id_and_is_masked():
    encoder = TextEncoder(train_tokenizer(TEXTS, 100), TextInput(max_length=8, pad_id=7))
    batch = encoder.collate([[3, 4, 5], [6]])
    assert batch["input_ids"].tolist() == [[3, 4, 5], [6, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_an_encoder_survives_pickling():
    encoder = TextEncoder(train_tokenizer(TEXTS, 100), TextInput(max_length=3))
    assert pickle.loads(pickle.dumps(encoder)).encode(TEXTS) == encoder.encode(TEXTS)


# -- pairs -------------------------------------------------------------------------------------

PAIR = ("the cat and the dog", "the log")


def test_a_tokenizer_for_pairs_puts_a_separator_between_them():
    tokenizer = train_tokenizer(TEXTS, 100, pairs=True)
    separator = tokenizer.token_to_id("[SEP]")
    assert separator == 2
    (tokens,) = TextEncoder(tokenizer, TextInput(max_length=20)).tokens([PAIR])
    place = tokens.ids.index(separator)
    assert tokens.ids[:place] == tokenizer.encode(PAIR[0]).ids
    assert tokens.ids[place + 1 :] == tokenizer.encode(PAIR[1]).ids
    assert tokens.types == [0] * (place + 1) + [1] * (len(tokens.ids) - place - 1)
    assert separator not in tokenizer.encode("the cat").ids


def test_the_longer_text_of_a_pair_is_cut_first():
    tokenizer = train_tokenizer(TEXTS, 100, pairs=True)
    (tokens,) = TextEncoder(tokenizer, TextInput(max_length=6)).tokens([PAIR])
    first, second = (tokenizer.encode(text).ids for text in PAIR)
    assert tokens.ids == [*first[:3], 2, *second[:2]]


def test_pairs_need_a_separator():
    encoder = TextEncoder(train_tokenizer(TEXTS, 100), TextInput(max_length=8))
    with pytest.raises(DataError, match="no separator between the two texts") as error:
        encoder.encode([PAIR])
    assert "--weights none" in error.value.hint


def test_types_are_padded_with_zeros():
    encoder = TextEncoder(train_tokenizer(TEXTS, 100), TextInput(max_length=8, pad_id=7))
    batch = encoder.collate([[3, 4, 5], [6]], [[0, 1, 1], [1]])
    assert batch["token_type_ids"].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert "token_type_ids" not in encoder.collate([[3]])


def test_a_word_of_a_megabyte_takes_no_minutes() -> None:
    began = time.perf_counter()
    tokenizer = train_tokenizer([*TEXTS, "x" * 1_000_000], 100)
    assert time.perf_counter() - began < 20
    assert tokenizer.encode("the cat").tokens == ["the", "cat"]
    assert 1 <= len(tokenizer.encode("x" * 1_000_000).ids) < 1_000_000


def test_words_that_are_not_so_long_are_learned_from_whole() -> None:
    (word,) = train_tokenizer(["ab" * 500] * 4, 4096).encode("ab" * 500).ids
    assert word > 1
