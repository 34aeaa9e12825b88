"""Tokenizer. Run: pytest tests/unit/data/test_tokenizer.py"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogment_pipe.data import tokenizer
from cogment_pipe.data.storage import write_lines
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import read_manifest, sha256_file, sidecar, verify_manifest

TEXTS = [" Tom has 48 pens. Tom has 7 more.", " Where does the maker of Orbit live?"] * 5


@pytest.fixture(scope="module")
def coder():
    return tokenizer.train(TEXTS, 400)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_round_trips(coder, text):
    """Promise: any UTF-8 comes back as it went in, special tokens' names included."""
    assert coder.decode(coder.encode(text)) == text


def test_special_tokens_have_fixed_ids_and_text_never_yields_them(coder):
    """Promise: ids 0 to 4 mean what the contract says; a document cannot forge them."""
    assert [coder.backend.token_to_id(t) for t in tokenizer.SPECIAL] == [0, 1, 2, 3, 4]
    text = " <eos><sep> <pad>"
    assert min(coder.encode(text)) > 4
    assert coder.decode([2, *coder.encode(" a"), 3]) == " a"


def test_many_texts_at_once_have_the_ids_of_each(coder, monkeypatch):
    """Promise: what is kept of short texts changes no ids, nor can a caller change what is kept."""
    monkeypatch.setattr(tokenizer, "REMEMBERED", 4)
    long = " Tom has 48 pens." * 10
    texts = [" Tom", " Orbit", long, " Tom", "", " pens", " 48", " Tom", " maker", long]
    for _ in range(3):
        found = coder.encode_many(texts)
        assert found == [coder.encode(text) for text in texts]
        for ids in found:
            ids.append(0)


def test_digits_stand_alone(coder):
    """Promise: a number is read digit by digit, whatever the corpus holds."""
    ids = coder.encode("48486")
    assert len(ids) == 5
    assert ids[0] == ids[2]


def test_two_trainings_give_the_same_bytes(tmp_path):
    """Promise: the tokenizer is a function of the texts and the size alone."""
    folder = tmp_path / "split"
    rows = [{"question": text, "answer": "#### 1"} for text in TEXTS]
    write_lines(folder / "a.train.jsonl", rows)
    write_lines(folder / "a.test.jsonl", [{"question": "zzzzqqqq " * 50, "answer": "#### 2"}])
    entry = {"layout": "gsm8k", "generator": "word_problem"}
    (folder / "manifest.json").write_text(json.dumps({"tasks": {"a": entry}}))
    for name in ("one.json", "two.json"):
        tokenizer.train_tokenizer({"vocab_size": 400}, [folder], tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    loaded = tokenizer.load_tokenizer(tmp_path / "one.json")
    assert loaded.encode(" Tom") == tokenizer.load_tokenizer(tmp_path / "two.json").encode(" Tom")
    # A word of the test split alone is not merged: training saw training splits only.
    assert len(loaded.encode("zzzzqqqq")) == 8


def test_too_small_or_damaged_is_one_line(tmp_path):
    """Promise: a user's mistake is one line that names the value or the file."""
    with pytest.raises(CogmentError, match="vocab_size 100 is too small"):
        tokenizer.train(TEXTS, 100)
    with pytest.raises(CogmentError, match="no such tokenizer"):
        tokenizer.load_tokenizer(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(CogmentError, match=r"bad\.json: not a tokenizer file"):
        tokenizer.load_tokenizer(tmp_path / "bad.json")


def test_the_seal_names_text_and_tokenizer(tmp_path):
    """Promise: a changed byte of the tokenizer is noticed, and what it was trained on is known."""
    folder = tmp_path / "stage3"
    write_lines(folder / "a.train.jsonl", [{"question": "a", "answer": "#### 1"}])
    entry = {"layout": "gsm8k", "generator": "word_problem"}
    (folder / "manifest.json").write_text(json.dumps({"tasks": {"a": entry}}))
    file = tmp_path / "tokenizer.json"
    tokenizer.train_tokenizer({"vocab_size": 300}, [folder], file)
    manifest = read_manifest(sidecar(file))
    assert manifest["inputs"] == {"stage3": sha256_file(folder / "manifest.json")}
    assert manifest["vocabulary"] == tokenizer.load_tokenizer(file).size
    assert verify_manifest(sidecar(file)) == []
    file.write_bytes(file.read_bytes() + b" ")
    (problem,) = verify_manifest(sidecar(file))
    assert problem.startswith(f"{file}: sha256 is ")
