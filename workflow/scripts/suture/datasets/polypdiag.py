"""PolypDiag (253 gastroscopies): 0 is normal, 1 abnormal. Its lists are train and val only; score val.

Layouts and files are those of :mod:`suture.datasets.video_folder`.
"""

from __future__ import annotations

from suture.datasets.video_folder.dataset import VideoFolder

SHARING = "internal"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()

_FOLDER = VideoFolder(labels=("normal", "abnormal"))
case_ids = _FOLDER.case_ids
case_files = _FOLDER.case_files
case_media = _FOLDER.case_media
read_case = _FOLDER.read_case
case_digest = _FOLDER.case_digest
read_split = _FOLDER.read_split
