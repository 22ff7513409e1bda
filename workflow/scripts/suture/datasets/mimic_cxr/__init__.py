"""MIMIC-CXR: chest radiographs and reports, as PhysioNet publishes them; sections and cleaning as MGCA's.

Credentialed: no report text leaves the run (see docs/llava-med.md). A case is a
patient. Options (``dataset_options``) choose views, images and cleaning.
"""

from __future__ import annotations

from suture.datasets.mimic_cxr.dataset import OPTIONS, MimicCxr

__all__ = [
    "OBJECT_KINDS",
    "OPTIONS",
    "REFERENCES",
    "SHARING",
    "STILLS",
    "case_digest",
    "case_files",
    "case_ids",
    "case_media",
    "read_case",
    "read_split",
    "with_options",
]

SHARING = MimicCxr.SHARING
STILLS = MimicCxr.STILLS
OBJECT_KINDS = MimicCxr.OBJECT_KINDS
REFERENCES = MimicCxr.REFERENCES

_PUBLISHED = MimicCxr()
with_options = _PUBLISHED.with_options
case_ids = _PUBLISHED.case_ids
case_files = _PUBLISHED.case_files
case_media = _PUBLISHED.case_media
read_case = _PUBLISHED.read_case
case_digest = _PUBLISHED.case_digest
read_split = _PUBLISHED.read_split
