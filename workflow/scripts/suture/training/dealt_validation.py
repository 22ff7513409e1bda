"""The validation loss of several processes, equal to that of one: batches are dealt whole, and none is padded."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction

from suture.training import processes


def evaluate_dealt(trainer: Any, samples: Dataset[Any], batch_size: int) -> EvalLoopOutput:
    """Evaluates a data set on all processes together.

    Each takes every so-manyth batch. All make as many forward passes, since
    weights that are shared out are gathered by all at once: a process that
    has no batch left computes its last one again, for nothing.

    Args:
        trainer: a :class:`transformers.Trainer`; its ``prediction_step``, collator and ``compute_metrics`` are used.
        samples: all of them, in each process.
        batch_size: samples of a batch.

    Returns:
        The mean of the batches' losses by their samples, and the metrics, in every process the same.
    """
    trainer.model.eval()
    batches = [range(at, min(at + batch_size, len(samples))) for at in range(0, len(samples), batch_size)]  # type: ignore[arg-type]
    count, rank = processes.count(), processes.rank()
    own: list[tuple[int, int, float, Any, Any]] = []
    for first in range(0, len(batches), count):
        number = first + rank
        rows = batches[min(number, len(batches) - 1)]
        inputs = trainer.data_collator([samples[row] for row in rows])
        loss, scores, labels = trainer.prediction_step(trainer.model, inputs, False)
        trainer.control = trainer.callback_handler.on_prediction_step(trainer.args, trainer.state, trainer.control)
        if number < len(batches):
            own.append((number, len(rows), float(loss), _on_host(scores), _on_host(labels)))
    found = sorted((one for part in processes.gathered(own) for one in part), key=lambda one: one[0])
    losses = np.repeat([one[2] for one in found], [one[1] for one in found])
    metrics = {"eval_loss": float(losses.mean())}
    if trainer.compute_metrics is not None:
        scores, labels = (np.concatenate([one[at] for one in found]) for at in (3, 4))
        measured = trainer.compute_metrics(EvalPrediction(predictions=scores, label_ids=labels))
        metrics |= {f"eval_{name}": value for name, value in measured.items()}
    return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(samples))  # type: ignore[arg-type]


def _on_host(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else tensor.cpu().numpy()
