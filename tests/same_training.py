"""Whether two checkpoints are of one training, to the rounding of sums that are added in another order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from suture import files


def differences(one: Path, other: Path) -> dict[str, float]:
    """Returns the relative differences of all weights together, and of each loss and gradient norm of the log."""
    [weights, others] = [
        {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}
        for folder in (one, other)
    ]
    assert weights.keys() == others.keys() and weights
    apart = sum(float(np.square(weights[name] - others[name]).sum()) for name in weights)
    size = sum(float(np.square(tensor).sum()) for tensor in weights.values())
    found = {"weights": (apart / size) ** 0.5}
    [log, log_of_other] = [files.read_jsonl(folder / "log.jsonl") for folder in (one, other)]
    assert len(log) == len(log_of_other) > 0
    for line, same in zip(log, log_of_other, strict=True):
        assert line.keys() == same.keys() and line["step"] == same["step"]
        for name in ("loss", "grad_norm", "eval_loss"):
            if name in line:
                found[f"{name} of step {line['step']}"] = abs(line[name] - same[name]) / line[name]
    return found
