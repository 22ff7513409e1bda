"""The split as a table: cases, clips, samples and phases of each part."""

from __future__ import annotations
