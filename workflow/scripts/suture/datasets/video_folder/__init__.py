"""Videos with one class each, as Endo-FM's downstream sets lie: lists of paths and labels, or folders named by class.

Known layouts, of one dataset or of several beside each other in one folder:

- ``splits/{train,val,test}.txt`` or ``.csv``, a line a video: ``path,label[,patient]``; media under ``videos/``;
- ``{train,val,test}/<class>/<video>``, or ``<class>/<video>`` without a split.

``labels.txt`` beside the lists names the classes in the order of their
numbers, ``patients.csv`` (``path,patient``) says whose video it is: a patient
is a case. Without it each video is one. See docs/endofm.md.
"""

from __future__ import annotations

from suture.datasets.video_folder.dataset import VideoFolder

SHARING = "internal"
OBJECT_KINDS: dict[str, str] = {}
REFERENCES: tuple[str, ...] = ()

_FOLDER = VideoFolder()
case_ids = _FOLDER.case_ids
case_files = _FOLDER.case_files
case_media = _FOLDER.case_media
read_case = _FOLDER.read_case
case_digest = _FOLDER.case_digest
read_split = _FOLDER.read_split
