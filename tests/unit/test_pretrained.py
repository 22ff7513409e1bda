"""Which attention is computed where, and what is said when a folder cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from suture import pretrained
from suture.errors import InputError
from suture.models import qwen2_5_vl


@pytest.mark.parametrize(
    ("wanted", "gpu", "package", "used", "reason"),
    [
        ("sdpa", False, False, "sdpa", ""),
        ("eager", True, True, "eager", ""),
        ("flash_attention_2", True, True, "flash_attention_2", ""),
        ("flash_attention_2", True, False, "sdpa", "flash-attn is not installed"),
        ("flash_attention_2", False, True, "sdpa", "needs a GPU"),
    ],
)
def test_flash_attention_is_replaced_where_it_cannot_be_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, wanted: str, gpu: bool, package: bool, used: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(pretrained, "is_flash_attn_2_available", lambda: package)
    found, said = pretrained.usable_attention(wanted)
    assert found == used
    assert (reason in said) if reason else said == ""


def test_what_is_wrong_is_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "sdpa"
    qwen2_5_vl.build_small(folder)
    with pytest.raises(InputError, match="attention 'sparse' cannot be computed here"):
        pretrained.load_model(Qwen2_5_VLForConditionalGeneration, folder, attention="sparse")
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="no processor"):
        pretrained.load_processor(folder, AutoTokenizer)
    with pytest.raises(InputError, match=r"no config\.json"):
        pretrained.load_model(Qwen2_5_VLForConditionalGeneration, folder)
