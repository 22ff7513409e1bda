"""How the model libraries are started: without network, without chatter, with a fixed number of threads."""

from __future__ import annotations

import os
import warnings


def prepare(*, threads: int | None = None) -> None:
    """Sets the libraries up; call it before a model family is imported.

    Jobs run offline: weights are fetched once, by ``fetch_weights``.

    Args:
        threads: CPU threads of torch. Sums depend on it in the last bit, so
            equal runs need an equal number. None: torch's own choice.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("BITSANDBYTES_NOWELCOME", "1")
    # Weights load in a blink; their bars would drown ours.
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    if threads is not None:
        torch.set_num_threads(threads)
