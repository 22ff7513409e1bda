"""Conversations about images: LLaVA's JSON, chat JSON Lines, ShareGPT and LLaVA-Med's qa50 rows (see :mod:`.rows`)."""

from __future__ import annotations

from suture.datasets.conversations.dataset import OPTIONS, Conversations

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
    "general",
    "read_case",
    "with_options",
]

SHARING = Conversations.SHARING
STILLS = Conversations.STILLS
OBJECT_KINDS = Conversations.OBJECT_KINDS
REFERENCES = Conversations.REFERENCES

_PUBLISHED = Conversations()
with_options = _PUBLISHED.with_options
case_ids = _PUBLISHED.case_ids
case_files = _PUBLISHED.case_files
case_media = _PUBLISHED.case_media
case_digest = _PUBLISHED.case_digest
read_case = _PUBLISHED.read_case
general = _PUBLISHED.general
