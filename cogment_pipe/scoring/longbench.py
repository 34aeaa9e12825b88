"""LongBench v1: one metric per data set, the best of several references (THUDM/LongBench).

`official` gives the figure of the published tables (x 100, two digits); everything else is 0..1.
Chinese data sets need the package jieba, as upstream does.
"""

from __future__ import annotations

import importlib
import re
import string
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from cogment_pipe.errors import CogmentError
from cogment_pipe.scoring.answers import overlap, token_f1
from cogment_pipe.scoring.rouge import rouge_l

Metric = Callable[[str, str, Sequence[str] | None], float]
FIRST_LINE = {"trec", "triviaqa", "samsum", "lsht"}
BUCKETS = (("0-4k", 4000), ("4-8k", 8000), ("8k+", float("inf")))
CHINESE_PUNCTUATION = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."  # noqa: E501


def qa_f1(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """Token F1; no rule for yes and no."""
    return token_f1(prediction, answer)


def rouge(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """ROUGE-L of the package `rouge`."""
    return rouge_l(prediction, answer)


def classification(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """1 / (classes named in the prediction) where the right one is among them."""
    named = [name for name in classes or () if name in prediction]
    # Upstream removes from the list it walks over, which skips the neighbour of each removal.
    for name in named:
        if name in answer and name != answer:
            named.remove(name)
    return 1.0 / len(named) if answer in named else 0.0


def retrieval(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """Share of the numbers in the prediction that are the gold paragraph's."""
    return _share(prediction, re.findall(r"Paragraph (\d+)", answer)[0])


def retrieval_zh(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """The same for Chinese paragraphs."""
    return _share(prediction, re.findall(r"段落(\d+)", answer)[0])


def count(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """Share of the numbers in the prediction that equal the gold number."""
    return _share(prediction, str(answer))


def code_similarity(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """Ratio of the first line that holds no backtick, # or //, in whole percents over 100."""
    lines = prediction.lstrip("\n").split("\n")
    line = next((x for x in lines if "`" not in x and "#" not in x and "//" not in x), "")
    if not line or not answer:
        return float(line == answer)
    return round(100 * SequenceMatcher(None, line, answer).ratio()) / 100


def qa_f1_zh(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """F1 over words cut by jieba, without punctuation."""
    drop = str.maketrans("", "", string.punctuation + CHINESE_PUNCTUATION)
    sides = []
    for text in (prediction, answer):
        words = ("".join(word.lower().translate(drop).split()) for word in _cut(text))
        sides.append([word for word in words if word])
    return overlap(*sides)[0]


def rouge_zh(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """ROUGE-L over words cut by jieba."""
    return rouge_l(" ".join(_cut(prediction)), " ".join(_cut(answer)))


def verbatim(prediction: str, answer: str, classes: Sequence[str] | None = None) -> float:
    """The answer itself, blanks at the ends aside: our own tasks in LongBench's layout."""
    return float(prediction.strip() == answer.strip())


METRICS: dict[str, Metric] = {
    **dict.fromkeys(
        ("narrativeqa", "qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "musique", "triviaqa"),
        qa_f1,
    ),
    **dict.fromkeys(("gov_report", "qmsum", "multi_news", "samsum"), rouge),
    **dict.fromkeys(("trec", "lsht"), classification),
    **dict.fromkeys(("lcc", "repobench-p"), code_similarity),
    **dict.fromkeys(("dureader", "vcsum"), rouge_zh),
    **dict.fromkeys(("recall", "needle"), verbatim),
    "multifieldqa_zh": qa_f1_zh,
    "passage_retrieval_en": retrieval,
    "passage_retrieval_zh": retrieval_zh,
    "passage_count": count,
}


def item(
    dataset: str, prediction: str, answers: list[str], classes: Sequence[str] | None = None
) -> float:
    """Score 0..1 of one prediction: the best over the references."""
    if dataset not in METRICS:
        raise CogmentError(f"LongBench has no data set {dataset!r}; known: {', '.join(METRICS)}")
    if dataset in FIRST_LINE:
        prediction = prediction.lstrip("\n").split("\n")[0]
    scores = (METRICS[dataset](prediction, answer, classes) for answer in answers)
    return max(scores, default=0.0)


def official(
    dataset: str,
    predictions: list[str],
    answers: list[list[str]],
    classes: Sequence[str] | None = None,
) -> float:
    """The published figure: mean x 100, rounded to two digits."""
    pairs = zip(predictions, answers, strict=True)
    return round(100 * sum(item(dataset, p, a, classes) for p, a in pairs) / len(predictions), 2)


def by_length(scores: list[float], lengths: list[int]) -> dict[str, float]:
    """LongBench-E: mean x 100, two digits, per bucket of `length`; empty ones are left out."""
    buckets: dict[str, list[float]] = {}
    for value, length in zip(scores, lengths, strict=True):
        name = next(name for name, below in BUCKETS if length < below)
        buckets.setdefault(name, []).append(value)
    return {name: round(100 * sum(v) / len(v), 2) for name, v in sorted(buckets.items())}


def _share(prediction: str, wanted: str) -> float:
    numbers = re.findall(r"\d+", prediction)
    return sum(number == wanted for number in numbers) / len(numbers) if numbers else 0.0


def _cut(text: str) -> list[str]:
    try:
        jieba = importlib.import_module("jieba")
    except ImportError:
        raise CogmentError(
            "Chinese LongBench data sets need jieba: pip install jieba, or leave them out"
        ) from None
    return list(jieba.cut(text, cut_all=False))
