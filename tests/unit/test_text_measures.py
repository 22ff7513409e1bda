"""BLEU, ROUGE-L, METEOR and BERTScore: against values of others, and against their formulas written out."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch

import score
from support import SHARED, call, run_script
from suture import files, scoring
from suture.errors import InputError
from suture.measures import text
from suture.tasks import report
from suture.tasks.base import Context, Missing, Row

WORDNET = Path("/usr/share/wordnet")
GOLDEN = SHARED / "cxr_metrics" / "bleu_golden.json"


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden values of ../shared/data are not here")
def test_bleu_is_that_of_fast_bleu() -> None:
    golden = json.loads(GOLDEN.read_text())
    for row in golden["rows"]:
        found = text.bleu(text.bleu_words(row["hyp"]), text.bleu_words(row["ref"]))
        expected = [row[key] for key in ("b1", "bigram", "b3", "b4")]
        assert found == pytest.approx(expected, abs=1e-6), row["hyp"]


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the golden values of ../shared/data are not here")
def test_the_scored_bleu_is_their_mean() -> None:
    golden = json.loads(GOLDEN.read_text())["rows"]
    rows = [Row(id=str(i), turn=0, answer=one["ref"], prediction=one["hyp"]) for i, one in enumerate(golden)]
    found = values(rows)
    for n, key in enumerate(("b1", "bigram", "b3", "b4"), start=1):
        assert found[f"bleu_{n}"] == pytest.approx(sum(one[key] for one in golden) / len(golden), abs=1e-6)


def values(rows: list[Row], context: Context | None = None) -> dict[str, float]:
    units = scoring.number_units(rows)
    entry = scoring.entry(
        report, units, split="test", leaky=False, baselines={}, not_computed={}, context=context or Context(),
        resamples=100,
    )  # fmt: skip
    return {key: one["value"] for key, one in entry["metrics"].items()}


@pytest.mark.parametrize(
    ("said", "gold", "expected"),
    [
        # Lin 2004, example of section 3.1 with beta 1: LCS "police the gunman" of 4 and 4 words.
        ("police kill the gunman", "police killed the gunman", 3 / 4),
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("No effusion.", "no EFFUSION", 1.0),
        ("", "no effusion", 0.0),
        ("a b", "c", 0.0),
    ],
)
def test_rouge_l(said: str, gold: str, expected: float) -> None:
    assert text.rouge_l(text.rouge_words(said), text.rouge_words(gold)) == pytest.approx(expected)


def test_the_longest_common_subsequence_is_that_of_the_usual_table() -> None:
    draw = random.Random(0)

    def usual(one: tuple[str, ...], other: tuple[str, ...]) -> int:
        @cache
        def at(i: int, j: int) -> int:
            if i == len(one) or j == len(other):
                return 0
            return 1 + at(i + 1, j + 1) if one[i] == other[j] else max(at(i + 1, j), at(i, j + 1))

        return at(0, 0)

    for _ in range(200):
        one, other = (tuple(draw.choices("abcd", k=draw.randrange(25))) for _ in range(2))
        assert text.longest_common(one, other) == usual(one, other)


ROWS = [Row(id=str(i), turn=0, case=str(i), answer="no effusion", prediction="no effusion") for i in range(3)]


def test_what_cannot_be_computed_of_a_report_is_listed_with_its_reason() -> None:
    found = {m.key: m for m in report.measures(ROWS, 3) if isinstance(m, Missing)}
    assert {"bertscore", "chexbert_f1", "chexbert_sim", "radgraph_f1", "radcliq_v0", "radcliq_v1"} <= found.keys()
    assert "--bertscore" in found["bertscore"].reason


def test_meteor_without_its_data_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def single_meteor_score(reference: list[str], hypothesis: list[str]) -> float:
        raise LookupError("Resource wordnet not found.")

    monkeypatch.setattr("nltk.translate.meteor_score.single_meteor_score", single_meteor_score)
    (found,) = [m for m in report.measures(ROWS, 3) if m.key == "meteor"]
    assert isinstance(found, Missing)
    assert "WordNet data is not installed" in found.reason


@pytest.mark.skipif(not WORDNET.is_dir(), reason="Debian's wordnet-base is not installed")
def test_meteor_is_the_value_in_nltks_own_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLTK_DATA", str(nltk_data(tmp_path / "data")))
    answer = "It is a guide to action that ensures that the military will forever heed Party commands"
    prediction = "It is a guide to action which ensures that the military always obeys the commands of the party"
    row = {
        "id": "1",
        "turn": 0,
        "case": "1",
        "kind": "report",
        "question": "?",
        "answer": answer,
        "prediction": prediction,
    }
    files.write_jsonl(tmp_path / "predictions.jsonl", [row])
    run_script(
        "score", "--predictions", tmp_path / "predictions.jsonl", "--task", "report", "--output", tmp_path / "m.json"
    )
    found = files.read_json(tmp_path / "m.json")["metrics"]["meteor"]["value"]
    assert found == pytest.approx(0.6944, abs=5e-5)


def nltk_data(where: Path) -> Path:
    """WordNet 3.0 as nltk wants it: Debian's files, and the two indices that are made of them."""
    shutil.copytree(WORDNET, folder := where / "corpora" / "wordnet")
    kinds = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    (folder / "lexnames").write_text("".join(f"{number:02d}\tnoun.all\t1\n" for number in range(45)))
    with (folder / "index.sense").open("w") as index:
        for kind, number in kinds.items():
            for line in (folder / f"data.{kind}").read_text().splitlines():
                offset, lexicographer, _, words, *rest = line.split(" ")
                for word, sense in zip(rest[: 2 * int(words, 16) : 2], rest[1::2], strict=False) if offset else ():
                    key = f"{word.lower()}%{number}:{lexicographer}:{int(sense, 16):02d}::"
                    index.write(f"{key} {offset} 1 0\n")
    return where


# --- BERTScore --------------------------------------------------------------------------------------------------------

WORDS = [
    "no",
    "acute",
    "large",
    "small",
    "effusion",
    "heart",
    "lungs",
    "clear",
    "are",
    "is",
    "the",
    "normal",
    "size",
    "of",
    ".",
    ",",
    "pneumothorax",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 3 layers with random weights, with its tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s"]))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS) + 6, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=24, initializer_range=0.4,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def by_hand(folder: Path, said: str, gold: str, layer: int) -> float:
    """BERTScore of one pair as its paper defines it, alone in its batch and with loops."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def pieces(words: str) -> list[torch.Tensor]:
        inputs = tokenizer(words, return_tensors="pt", truncation=True)
        with torch.inference_mode():
            return list(model(**inputs, output_hidden_states=True).hidden_states[layer][0])

    one, other = pieces(said), pieces(gold)

    def best(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
        # The first and last piece are [CLS] and [SEP]: they may be matched, and do not count.
        cosines = [max(float(torch.cosine_similarity(a, b, dim=0)) for b in theirs) for a in mine[1:-1]]
        return sum(cosines) / len(cosines)

    precision, recall = best(one, other), best(other, one)
    return 2 * precision * recall / (precision + recall)


PAIRS = [
    ("no large effusion", "no effusion or pneumothorax"),
    ("the heart is normal", "heart size normal."),
    ("lungs are clear, no acute effusion is large. the lungs of the heart are clear " * 3, "lungs clear"),
    ("no acute effusion", "no acute effusion"),
]


@pytest.mark.parametrize("layer", [1, 3])
def test_bertscore_of_a_batch_is_that_of_each_pair_by_its_definition(encoder: Path, layer: int) -> None:
    from suture.measures.bertscore import BertScore

    found = BertScore(encoder, layer).f1(PAIRS)
    assert found == pytest.approx([by_hand(encoder, *pair, layer) for pair in PAIRS], abs=1e-5)
    assert found[3] == pytest.approx(1.0, abs=1e-6)


def test_bertscore_takes_the_last_layer_of_an_encoder_it_does_not_know_and_says_so(encoder: Path) -> None:
    from suture.measures.bertscore import BertScore

    scorer = BertScore(encoder)
    assert scorer.f1(PAIRS[:1]) == pytest.approx([by_hand(encoder, *PAIRS[0], 3)], abs=1e-5)
    assert "layer 3 of a bert encoder of 3 layers" in scorer.definition
    rows = [Row(id=str(i), turn=0, answer=gold, prediction=said) for i, (said, gold) in enumerate(PAIRS)]
    assert values(rows, Context(bertscore=scorer))["bertscore"] == pytest.approx(sum(scorer.f1(PAIRS)) / 4, abs=1e-9)


def test_score_py_reads_the_encoder_from_its_folder(encoder: Path, tmp_path: Path) -> None:
    rows = [{"id": str(i), "answer": gold, "prediction": said} for i, (said, gold) in enumerate(PAIRS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    call(
        score, "--task", "report", "--predictions", tmp_path / "p.jsonl", "--bertscore", encoder,
        "--bertscore-layer", 1, "--resamples", 100, "--output", tmp_path / "entry.json",
    )  # fmt: skip
    entry = json.loads((tmp_path / "entry.json").read_text())
    expected = sum(by_hand(encoder, *pair, 1) for pair in PAIRS) / 4
    assert entry["metrics"]["bertscore"]["value"] == pytest.approx(expected, abs=1e-5)
    assert entry["baselines"]["ceiling"]["bertscore"]["value"] == pytest.approx(1, abs=1e-6)


def test_an_empty_text_is_like_no_other(encoder: Path) -> None:
    from suture.measures.bertscore import BertScore

    assert BertScore(encoder).f1([("", "no effusion"), ("no effusion", " ")]) == [0.0, 0.0]


def test_a_folder_that_is_no_encoder_is_refused(encoder: Path, tmp_path: Path) -> None:
    from suture.measures.bertscore import BertScore

    with pytest.raises(InputError, match="no encoder in this folder"):
        BertScore(tmp_path)
    with pytest.raises(InputError, match="there is no layer 4"):
        BertScore(encoder, 4)
