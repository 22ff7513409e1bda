"""BAGLS videos with the labels of the Endo-FM fork, which it did not publish: bring your own lists.

Layouts and files are those of :mod:`suture.datasets.video_folder`.
"""

from __future__ import annotations

from suture.datasets.video_folder.dataset import VideoFolder

SHARING = "open"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()

_FOLDER = VideoFolder(labels=("non_referral", "referral"))
case_ids = _FOLDER.case_ids
case_files = _FOLDER.case_files
case_media = _FOLDER.case_media
read_case = _FOLDER.read_case
case_digest = _FOLDER.case_digest
read_split = _FOLDER.read_split
