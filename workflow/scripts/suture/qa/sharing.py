"""Whose facts may go to a language model on another machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from suture.config.publishing import Sharing
from suture.config.qa import LLM


def is_local(url: str) -> bool:
    """Tells whether an address is of this machine: by its number, or ``localhost``."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(sharing: Sharing, llm: LLM) -> str | None:
    """Says why facts about such data may not be sent to the model's server, or None where they may.

    A server that is started for the run, and any at an address of this machine,
    is not another machine. What it does with what it reads is its own matter.
    """
    if llm.base_url is None or is_local(llm.base_url):
        return None
    if sharing == "credentialed":
        return "the data are credentialed: facts about them may not go to another machine"
    if sharing == "internal" and not llm.allow_internal:
        return "the data are internal: add  allow_internal: true  if whoever is responsible for them agrees"
    return None
