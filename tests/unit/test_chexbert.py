"""CheXbert from its publisher's files, on a small stand-in of the same layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from suture import libraries
from suture.errors import InputError

libraries.prepare(threads=1)

import torch  # noqa: E402
from transformers import BertConfig, BertModel, BertTokenizerFast  # noqa: E402

from suture.measures import chexbert  # noqa: E402

TEXTS = ["large heart", "clear lungs and no effusion", "heart"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("chexbert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "large", "heart", "clear", "lungs", "and", "no", "effusion"]
    (where / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab_file=str(where / "vocab.txt")).save_pretrained(where)
    shape = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(**shape, intermediate_size=24, max_position_embeddings=32)
    config.save_pretrained(where)
    torch.manual_seed(0)
    bert = BertModel(config).eval()
    heads = {f"module.linear_heads.{n}.weight": torch.randn(4 if n < 13 else 2, 16) for n in range(14)}
    heads |= {name.replace("weight", "bias"): torch.randn(len(value)) for name, value in heads.items()}
    weights = {f"module.bert.{name}": value for name, value in bert.state_dict().items()}
    weights["module.bert.embeddings.position_ids"] = torch.arange(32)[None]
    torch.save({"model_state_dict": {**weights, **heads}, "epoch": 1}, where / "chexbert.pth")
    return where


def test_findings_and_embeddings_are_those_of_the_parts(folder: Path) -> None:
    model = chexbert.CheXbert(folder)
    read = model.read(TEXTS)
    stored = torch.load(folder / "chexbert.pth", weights_only=True)["model_state_dict"]
    bert = BertModel(BertConfig.from_pretrained(folder)).eval()
    own = {n.removeprefix("module.bert."): t for n, t in stored.items() if "bert." in n}
    # Stored with published files, and no parameter.
    bert.load_state_dict({n: t for n, t in own.items() if n != "embeddings.position_ids"})
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    for text, one in zip(TEXTS, read, strict=True):
        with torch.no_grad():
            first = bert(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0]
        assert torch.allclose(one.embedding, first, atol=1e-5)
        for place in range(14):
            scores = stored[f"module.linear_heads.{place}.weight"] @ first + stored[f"module.linear_heads.{place}.bias"]
            assert one.told[place] == (int(scores.argmax()) in (1, 3))
    assert chexbert.similarity(read[0], read[0]) == pytest.approx(1.0)
    assert chexbert.similarity(read[0], read[1]) < 1.0


def test_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no CheXbert"):
        chexbert.CheXbert(tmp_path)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({"bert.x": torch.zeros(1)}, tmp_path / "chexbert.pth")
    with pytest.raises(InputError, match="not CheXbert's weights"):
        chexbert.CheXbert(tmp_path)
