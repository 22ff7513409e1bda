"""SSG-VQA with the test variant ``clean``: questions of the test videos from ``VID02_clean/`` and its like.

All else is :mod:`suture.datasets.ssgvqa`.
"""

from __future__ import annotations

from suture.datasets.ssgvqa.frames import Frames
from suture.datasets.ssgvqa.lines import MULTI_LABEL
from suture.datasets.ssgvqa.vocabulary import LABELS as LABELS
from suture.datasets.ssgvqa.vocabulary import SPLIT

SHARING = "internal"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()
NEVER_TRAINED = frozenset(SPLIT["test"])
LEFT_OUT_KINDS = (MULTI_LABEL,)

_FRAMES = Frames(clean=True)
case_ids = _FRAMES.case_ids
case_files = _FRAMES.case_files
case_media = _FRAMES.case_media
case_digest = _FRAMES.case_digest
read_case = _FRAMES.read_case
read_split = _FRAMES.read_split
general = _FRAMES.general
