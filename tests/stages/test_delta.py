"""apply_delta.py and make_delta.py: published arithmetic, to the bit where promised, in the memory of one tensor."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import apply_delta
import make_delta
from support import SCRIPTS, call
from suture.errors import InputError

HIDDEN, BASE_TOKENS, TOKENS = 24, 50, 53


def weights(tokens: int, *, projector: bool, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    made = {
        "model.embed_tokens.weight": torch.randn(tokens, HIDDEN),
        "lm_head.weight": torch.randn(tokens, HIDDEN),
        "model.norm.weight": torch.randn(HIDDEN),
        **{f"model.layers.{n}.self_attn.q_proj.weight": torch.randn(HIDDEN, HIDDEN) for n in range(3)},
    }
    if projector:
        made |= {"model.mm_projector.weight": torch.randn(HIDDEN, 8), "model.mm_projector.bias": torch.randn(HIDDEN)}
    return {name: tensor.half() for name, tensor in made.items()}


def folder(path: Path, tensors: dict[str, torch.Tensor], *, kind: str = "safetensors", name: str = "x") -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "tokenizer_config.json").write_text(json.dumps({"of": name}))
    names = list(tensors)
    for number, half in enumerate((names[::2], names[1::2]), start=1):
        part = {one: tensors[one] for one in half}
        if kind == "bin":
            torch.save(part, path / f"pytorch_model-0000{number}-of-00002.bin")
        else:
            save_file(part, path / f"model-0000{number}-of-00002.safetensors")
    return path


def read(path: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for part in path.glob("*.safetensors") for name, tensor in load_file(part).items()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = weights(BASE_TOKENS, projector=False, seed=1)
    # Old versions of the library wrote these out.
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    return folder(tmp_path_factory.mktemp("delta") / "llama", tensors, kind="bin", name="base")


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_the_published_sum_new_rows_projector_and_tokenizer(
    base: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change = weights(TOKENS, projector=True, seed=2)
    delta = folder(tmp_path / "delta", change, kind=kind, name="delta")
    call(apply_delta, "--base", base, "--target", tmp_path / "out", "--delta", delta)
    said = capsys.readouterr().out
    assert "4 tensors added" in said and "2 tensors copied" in said and "2 tensors extended" in said
    made, bases = read(tmp_path / "out"), weights(BASE_TOKENS, projector=False, seed=1)
    assert made.keys() == change.keys()
    for name, tensor in change.items():
        wanted = tensor.clone()
        if name in bases:
            wanted[: bases[name].shape[0]] += bases[name]
        assert torch.equal(made[name], wanted), name
    assert torch.equal(made["lm_head.weight"][BASE_TOKENS:], change["lm_head.weight"][BASE_TOKENS:])
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text()) == {"of": "delta"}
    record = json.loads((tmp_path / "out" / "applied_delta.json").read_text())
    assert len(record["base"]) == len(record["other"]) == 2 and len(record["written"]) == 1


def test_a_delta_that_is_made_and_applied_gives_the_model_to_the_bit(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = weights(TOKENS, projector=True, seed=3)
    mine = folder(tmp_path / "mine", target)
    call(make_delta, "--base", base, "--target", mine, "--delta", tmp_path / "delta", "--exact")
    assert capsys.readouterr().out.endswith("0 numbers would come back with another last digit\n")
    call(apply_delta, "--base", base, "--target", tmp_path / "again", "--delta", tmp_path / "delta")
    made = read(tmp_path / "again")
    assert made.keys() == target.keys()
    assert all(torch.equal(made[name], tensor) and made[name].dtype == tensor.dtype for name, tensor in target.items())
    # As published, in 16 bits, some numbers are a last digit off: as many as are said.
    call(make_delta, "--base", base, "--target", mine, "--delta", tmp_path / "short")
    said = capsys.readouterr().out
    call(apply_delta, "--base", base, "--target", tmp_path / "near", "--delta", tmp_path / "short")
    near = read(tmp_path / "near")
    off = sum(int((near[name] != tensor).sum()) for name, tensor in target.items())
    assert off > 0 and said.endswith(f"{off} numbers would come back with another last digit\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model.extra.weight": torch.zeros(2)}, "model.extra.weight is not in the base"),
        ({"model.norm.weight": torch.zeros(HIDDEN + 1)}, "model.norm.weight has shape [24] in the base and [25]"),
        ({"model.embed_tokens.weight": torch.zeros(BASE_TOKENS - 1, HIDDEN)}, "model.embed_tokens.weight has shape"),
        ({"model.norm.weight": None}, "model.norm.weight of the base has no counterpart"),
    ],
)
def test_a_mismatch_is_refused_by_name_and_nothing_is_written(
    base: Path, tmp_path: Path, change: dict[str, torch.Tensor | None], named: str
) -> None:
    tensors = {**weights(TOKENS, projector=True, seed=2), **change}
    delta = folder(tmp_path / "delta", {name: one for name, one in tensors.items() if one is not None})
    with pytest.raises(InputError, match=re.escape(named)):
        call(apply_delta, "--base", base, "--target", tmp_path / "out", "--delta", delta)
    assert not (tmp_path / "out").exists()


PEAK = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from suture import delta
def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
before = resident("VmRSS")
delta.apply(*map(Path, sys.argv[2:5]))
print(resident("VmHWM") - before)
"""


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_the_peak_of_memory_is_that_of_the_largest_tensor_not_of_the_model(tmp_path: Path, kind: str) -> None:
    each_mb, layers = 8, 12
    rows = each_mb * 2**20 // 2 // 1024
    tensors = {f"model.layers.{n}.mlp.up_proj.weight": torch.zeros(rows, 1024).half() for n in range(layers)}
    base = folder(tmp_path / "base", tensors, kind=kind)
    delta = folder(tmp_path / "delta", tensors, kind=kind)
    command = [sys.executable, "-c", PEAK, str(SCRIPTS), str(base), str(delta), str(tmp_path / "out")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    peak = float(told.split()[-1])
    # A tensor of each, mapped and copied, and what is made of them: far from the 12 of one of the two models.
    assert peak < 6 * each_mb, f"{peak:.0f} MB above the start; the model has {each_mb * layers} MB"
