"""Duke laryngoscopies (``duhs-gss-split-5``): 0 is non_referral, 1 is referral; patients in patients.csv.

Layouts and files are those of :mod:`suture.datasets.video_folder`.
"""

from __future__ import annotations

from suture.datasets.video_folder.dataset import VideoFolder

SHARING = "internal"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()

_FOLDER = VideoFolder(labels=("non_referral", "referral"))
case_ids = _FOLDER.case_ids
case_files = _FOLDER.case_files
case_media = _FOLDER.case_media
read_case = _FOLDER.read_case
case_digest = _FOLDER.case_digest
read_split = _FOLDER.read_split
