"""Token arrays and batches of text. Run: pytest tests/unit/data/test_text_dataset.py"""

import json

import numpy as np
import pytest

from cogment_pipe.data import tokenizer as tok
from cogment_pipe.data.corpus import split_corpus
from cogment_pipe.data.ragged import RaggedWriter
from cogment_pipe.data.sampler import batch_indices
from cogment_pipe.data.storage import write_lines
from cogment_pipe.data.text_dataset import TextTask
from cogment_pipe.data.text_layout import Probe, TextExample, split_question
from cogment_pipe.data.text_prepare import Limits, add_probes, encode, fit, prepare_text
from cogment_pipe.errors import CogmentError

TASK = {"train": 60, "validation": 10, "test": 20, "weight": 1.0, "batch_size": None}
TYPES = ["rename_entities", "vary_numbers", "shuffle_passages", "shuffle_distractors"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two built-in tasks of each text stage, prepared: {name: (folder, entry)}."""
    root = tmp_path_factory.mktemp("text")
    slices = {}
    for stage, names in ((3, ("word_problem", "two_hop")), (4, ("recall", "needle"))):
        slices[stage] = {
            "seed": 1,
            "vocab_size": 900,
            "corpora": {},
            "stage": {
                "source": "builtin",
                "sequence_length": 128,
                "segment_length": 32 if stage == 4 else 0,
                "augmentation_rate": 0.5,
                "augmentation_types": TYPES,
                "tasks": {name: {"generator": name, **TASK} for name in names},
            },
        }
        split_corpus(stage, slices[stage], root / f"split{stage}")
    file = root / "tokenizer.json"
    tok.train_tokenizer(slices[3], [root / "split3", root / "split4"], file)
    found = {"coder": tok.load_tokenizer(file), "file": file, "slices": slices, "root": root}
    for stage, slice in slices.items():
        for name, task in slice["stage"]["tasks"].items():
            out = root / f"data{stage}"
            entry = prepare_text(name, task, slice, root / f"split{stage}", file, out)
            found[name] = (out, entry)
    return found


def records(prepared, name, split):
    stage = 4 if name in ("recall", "needle") else 3
    text = (prepared["root"] / f"split{stage}/{name}.{split}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", ["word_problem", "two_hop", "recall", "needle"])
def test_rows_hold_prompt_answer_and_segments(prepared, name):
    """Promise: decoded rows are the record's texts; targets are the next answer tokens only."""
    folder, entry = prepared[name]
    data, coder = TextTask(folder, name, "test", entry), prepared["coder"]
    rows = records(prepared, name, "test")
    assert len(data) == len(rows) == 20
    batch = data.batch(np.arange(20))
    assert batch.tokens.shape[1] % 8 == 0 and batch.tokens.dtype == np.int64
    for i, row in enumerate(rows):
        cut, end = batch.prompt_length[i], batch.length[i]
        assert batch.tokens[i, cut - 1] == tok.SEP and batch.tokens[i, end - 1] == tok.EOS
        assert not batch.tokens[i, end:].any()
        answer = row["answers"][0] if "answers" in row else row["answer"]
        assert coder.decode(batch.tokens[i, cut:end]) == " " + answer
        question = row.get("input") or row["question"]
        assert coder.decode(batch.tokens[i, :cut]).endswith(" " + question)
        asked = batch.targets[i] != -100
        assert asked.sum() == end - cut
        assert np.array_equal(np.flatnonzero(asked), np.arange(cut - 1, end - 1))
        assert np.array_equal(batch.targets[i][asked], batch.tokens[i, cut:end])
        if batch.segments is not None:
            parts = [coder.decode(s)[1:] for s in batch.segments[i] if s.any()]
            assert parts == row["context"].split("\n\n")
            assert (batch.segments[i][:, 0] == tok.SEG).all()
    assert (batch.segments is not None) == (name in ("recall", "needle"))


def test_a_batch_depends_on_its_arguments_alone(prepared):
    """Promise: order and company of rows do not matter; repeated calls are equal."""
    folder, entry = prepared["two_hop"]
    data = TextTask(folder, "two_hop", "train", entry)
    whole = data.batch(np.arange(12))
    for i in range(12):
        one = data.batch(np.array([i]))
        width = one.tokens.shape[1]
        assert np.array_equal(whole.tokens[i, :width], one.tokens[0])
        assert not whole.tokens[i, width:].any()
    seeds = [np.random.default_rng(4) for _ in range(2)]
    pair = [data.batch(np.arange(12), rng=rng, augment=True) for rng in seeds]
    assert np.array_equal(pair[0].tokens, pair[1].tokens)


def test_prompts_alone_for_evaluation(prepared):
    """Promise: answers=False shows no answer token and asks for none."""
    folder, entry = prepared["recall"]
    data = TextTask(folder, "recall", "test", entry)
    batch, full = data.batch(np.arange(8), answers=False), data.batch(np.arange(8))
    assert np.array_equal(batch.length, batch.prompt_length)
    assert np.array_equal(batch.prompt_length, full.prompt_length)
    assert (batch.targets == -100).all()
    last = batch.prompt_length.max()
    assert not batch.tokens[:, last:].any()
    assert np.array_equal(batch.segments, full.segments)


def test_augmentation_takes_variants_at_the_stage_rate(prepared):
    """Promise: about half of the rows are variants at rate .5, none without augment."""
    folder, entry = prepared["word_problem"]
    data = TextTask(folder, "word_problem", "train", entry)
    index = np.tile(np.arange(60), 20)
    plain = data.batch(index).tokens
    changed = data.batch(index, rng=np.random.default_rng(0), augment=True).tokens
    width = min(plain.shape[1], changed.shape[1])
    share = (plain[:, :width] != changed[:, :width]).any(axis=1).mean()
    assert 0.4 < share < 0.6
    assert entry["augmentation"]["types"] == ["rename_entities", "vary_numbers"]
    test = TextTask(folder, "word_problem", "test", entry)
    rng = np.random.default_rng(0)
    again = test.batch(np.arange(20), rng=rng, augment=True).tokens
    assert np.array_equal(again, test.batch(np.arange(20)).tokens)


def test_gold_is_what_the_record_says(prepared):
    """Promise: gold(i) belongs to item i and holds what the metric needs."""
    folder, entry = prepared["two_hop"]
    data = TextTask(folder, "two_hop", "test", entry)
    for i, row in enumerate(records(prepared, "two_hop", "test")):
        gold = data.gold(i)
        assert gold["answers"] == [row["answer"]] and gold["id"] == row["_id"]
        assert gold["supporting_facts"] == row["supporting_facts"]
    with pytest.raises(IndexError):
        data.gold(len(data))


def test_preparing_twice_gives_the_same_bytes(prepared, tmp_path):
    """Promise: arrays are a function of split text, tokenizer and slice."""
    folder, entry = prepared["recall"]
    slice, root = prepared["slices"][4], prepared["root"]
    task = slice["stage"]["tasks"]["recall"]
    assert entry == prepare_text("recall", task, slice, root / "split4", prepared["file"], tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (folder / file.name).read_bytes()


def test_what_does_not_fit_is_counted(prepared, tmp_path):
    """Promise: training items are shortened by a rule or dropped, test items never dropped."""
    slice = json.loads(json.dumps(prepared["slices"][3]))
    slice["stage"]["sequence_length"] = 60
    root = prepared["root"]
    task = slice["stage"]["tasks"]["two_hop"]
    entry = prepare_text("two_hop", task, slice, root / "split3", prepared["file"], tmp_path)
    train, test = entry["splits"]["train"], entry["splits"]["test"]
    dropped = train["dropped"].get("longer than sequence_length", 0)
    assert train["items"] + dropped == 60
    assert train["shortened"] == {"distractor paragraphs left out": train["items"]}
    assert test["items"] == 20 and test["shortened"]["context cut in the middle"] == 20
    data = TextTask(tmp_path, "two_hop", "train", entry)
    batch = data.batch(np.arange(len(data)))
    assert batch.length.max() <= 60
    for i in range(len(data)):  # what the answer needs is still there
        text = prepared["coder"].decode(batch.tokens[i, : batch.prompt_length[i]])
        for title, _ in data.gold(i)["supporting_facts"]:
            assert f" {title} " in text


def test_long_documents_are_cut_in_the_middle(prepared, tmp_path):
    """Promise: LongBench's rule, to a whole number of segments; answers are cut in tokens only."""
    words = [f"w{i}" for i in range(500)]
    row = {"question": "Why?", "answer": "x" * 300, "context": " ".join(words)}
    for split in ("train", "validation", "test"):
        write_lines(tmp_path / f"q.{split}.jsonl", [row])
    write_lines(tmp_path / "q.train.variants.jsonl", [])
    source = {
        **{"layout": "qa", "metric": "qa", "segmentation": "", "corpus": "mine", "sources": []},
        **{"splits": {s: {"dropped": {}} for s in ("train", "validation", "test")}},
        **{"baselines": {}, "leaks": {}, "notes": [], "variants": {}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"tasks": {"q": source}}))
    slice = prepared["slices"][4]
    entry = prepare_text("q", TASK, slice, tmp_path, prepared["file"], tmp_path / "out")
    did = entry["splits"]["test"]["shortened"]
    assert did == {"context cut in the middle": 1, "answer cut": 1}
    data = TextTask(tmp_path / "out", "q", "test", entry)
    batch = data.batch(np.array([0]))
    assert batch.segments.shape == (1, 3, 32)
    text = prepared["coder"].decode(batch.segments.ravel())
    assert text.startswith(" w0 w1") and text.endswith("w498 w499") and "w250" not in text
    assert batch.length[0] == 128 and batch.tokens[0, 127] == tok.EOS
    assert data.gold(0)["answers"] == ["x" * 300]


def test_a_short_document_is_one_segment(prepared):
    """Promise: what fits into one segment has no earlier ones."""
    from cogment_pipe.data.text_layout import qa

    example = qa({"question": "Where is Ann?", "answer": "Oslo", "context": "Ann lives in Oslo."})
    limits = Limits(128, 32, 3, False)
    item = encode([example], limits, prepared["coder"])[0]
    assert fit(item, example, limits, prepared["coder"], True)[0].segments == []
    text = prepared["coder"].decode(item.prompt)
    assert text == " Ann lives in Oslo. Where is Ann?"


def test_bad_limits_and_foreign_tokenizer_are_one_line(prepared, tmp_path):
    """Promise: what cannot work is refused with the value's name."""
    root = prepared["root"]
    slice = json.loads(json.dumps(prepared["slices"][4]))
    task = slice["stage"]["tasks"]["recall"]
    arguments = (root / "split4", prepared["file"], tmp_path)
    with pytest.raises(CogmentError, match="no text of task other"):
        prepare_text("other", task, slice, *arguments)
    slice["stage"]["segment_length"] = 4
    with pytest.raises(CogmentError, match="segment_length 4"):
        prepare_text("recall", task, slice, *arguments)
    slice["stage"]["segment_length"], slice["vocab_size"] = 32, 300
    with pytest.raises(CogmentError, match="above vocab_size 300"):
        prepare_text("recall", task, slice, *arguments)


def test_scrolls_inputs_split_into_question_and_document():
    """Promise: the question is what stands before the document, with QuALITY's options."""
    assert split_question("Why?\n\nA: b\n\nc") == ("Why?", "A: b\n\nc")
    text = "Who?\n\n(A) x\n\n(B) y\n\n(C) z\n\n(D) w\n\nOnce upon a time.\n\nEnd."
    question, story = split_question(text, options=True)
    assert question == "Who?\n(A) x\n(B) y\n(C) z\n(D) w"
    assert story == "Once upon a time.\n\nEnd."


def test_probes_stand_before_the_question(prepared, tmp_path):
    """Promise: a probe's tokens bear the first token of its answer as target, as many probes as
    there is room for; the question and its answer stay the end of the row."""
    coder = prepared["coder"]
    example = TextExample(
        "What is red?",
        "bell",
        "red is bell. blue is boat.",
        probes=[Probe("What is blue?", "boat"), Probe("What is red?", "bell")],
    )
    plain = encode([example], Limits(128, 0, 0, False), coder)[0]
    asked = [*coder.encode(" What is blue?"), tok.SEP]
    for room, kept in ((len(plain.prompt) + len(plain.answer) + len(asked), 1), (128, 2), (16, 0)):
        item = encode([example], Limits(128, 0, 0, False), coder)[0]
        add_probes(item, example, Limits(room, 0, 0, False), coder)
        assert item.prompt[-item.asked :] == plain.prompt[-plain.asked :]
        own = len(plain.prompt[-plain.asked :]) - 1  # its <sep> has the answer's first token anyhow
        assert len(item.hints) == kept * len(asked) + own
        start = len(plain.prompt) - plain.asked
        if kept:
            assert item.prompt[start : start + len(asked)] == asked
            first = coder.encode(" boat")[0]
            assert item.hints[: len(asked)] == [(start + i, first) for i in range(len(asked))]
            batch = written(tmp_path / str(kept), item, example)
            assert [batch.targets[0, p] for p, _ in item.hints] == [t for _, t in item.hints]
            assert (batch.targets != -100).sum() == len(item.hints) + len(item.answer)


def test_a_bridge_is_a_target_at_its_word(prepared):
    """Promise: the word of a question over a bridge has what it leads to as target, only what
    stands after it has the answer; a question that was cut has no targets of its own."""
    coder = prepared["coder"]
    bridge = ("red", "blue")
    probe = Probe("Who is red of?", "boat", bridge)
    example = TextExample("What is red?", "bell", "red is bell.", probes=[probe], bridge=bridge)
    item = encode([example], Limits(128, 0, 0, False), coder)[0]
    context = len(item.prompt) - item.asked
    add_probes(item, example, Limits(128, 0, 0, False), coder)
    word, found = (coder.encode(" " + text) for text in bridge)
    ends = [i for i in range(len(item.prompt)) if item.prompt[i + 1 - len(word) : i + 1] == word]
    hints = dict(item.hints)
    (first, second) = (i for i in ends if i >= context)
    assert hints[first] == hints[second] == found[0]
    assert min(hints) == first
    assert hints[first + 1] == coder.encode(" boat")[0]
    assert hints[second + 1] == coder.encode(" bell")[0]
    assert len(item.prompt) - 1 not in hints
    cut = encode([example], Limits(128, 0, 0, False), coder)[0]
    cut.prompt[-2:-1] = []
    cut.asked -= 1
    add_probes(cut, example, Limits(128, 0, 0, False), coder)
    assert max(p for p, _ in cut.hints) < len(cut.prompt) - cut.asked


def test_a_context_is_read_through_the_memory_where_the_stage_says_so(prepared):
    """Promise: with `context: memory` even a short context stands in segments, never in the
    prompt; paragraphs share a segment and are cut only where one alone is too long."""
    coder = prepared["coder"]
    texts = ["red is bell.", "blue is boat.", "and so it goes, " * 12]
    paragraphs = [(text, True) for text in texts]
    example = TextExample("What is red?", "bell", " ".join(texts[:2]), paragraphs[:2])
    config = {"sequence_length": 256, "segment_length": 32}
    plain = encode([example], Limits.of(config, "", {}), coder)[0]
    assert not plain.segments
    item = encode([example], Limits.of({**config, "context": "memory"}, "", {}), coder)[0]
    parts = [coder.encode(" " + text) for text in texts]
    assert item.segments == [[tok.SEG, *parts[0], *parts[1]]]
    assert plain.prompt == [*parts[0], *parts[1], *item.prompt]
    longer = TextExample("What is red?", "bell", " ".join(texts), paragraphs)
    segments = encode([longer], Limits.of(config, "", {}), coder)[0].segments
    assert segments[0] == item.segments[0] and max(map(len, segments)) <= 32
    assert [i for s in segments for i in s if i != tok.SEG] == [i for part in parts for i in part]


def written(out, item, example):
    """One row, through the files."""
    out.mkdir()
    writer = RaggedWriter()
    writer.add(item, example)
    writer.write(out, "t", "train", np.zeros(2), 900)
    entry = {"task_id": 8, "weight": 1.0, "batch_size": None, "metric": "hotpot"}
    entry |= {"splits": {"train": {"items": 1}}}
    return TextTask(out, "t", "train", entry).batch(np.array([0]))


@pytest.mark.parametrize("name", ["word_problem", "two_hop"])
def test_rows_sorted_by_length_need_less_padding(prepared, name):
    """Promise: with `length_buckets` the rows of a batch are of about one length."""
    folder, entry = prepared[name]
    data = TextTask(folder, name, "train", entry)
    assert data.sizes.tolist() == data.batch(np.arange(len(data))).length.tolist()

    def padding(**more):
        keys = {"seed": 0, "stage": 3, "task": name, **more}
        index = [batch_indices(len(data), 4, s, **keys) for s in range(len(data) // 4)]
        batches = [data.batch(rows) for rows in index]
        return 1 - sum(b.length.sum() for b in batches) / sum(b.tokens.size for b in batches)

    assert padding(sizes=data.sizes, buckets=8) < 0.7 * padding()


def test_rows_of_as_many_segments_come_together(prepared):
    """Promise: segments weigh more than tokens where rows are sorted by length."""
    folder, entry = prepared["recall"]
    data = TextTask(folder, "recall", "train", entry)
    batch = data.batch(np.arange(len(data)))
    segments = batch.segments.any(-1).sum(1)
    order = np.argsort(data.sizes, kind="stable")
    assert (np.diff(segments[order]) >= 0).all()
