"""Tokens and keys: there where they are needed, and nowhere else. Their values are never shown."""

from __future__ import annotations

import os
from collections.abc import Iterator

from suture import redaction
from suture.checks.base import Finding, Setting, fail, ok, warn


def check(setting: Setting) -> Iterator[Finding]:
    """Tells which secret is missing from the environment, and which stands where others read it."""
    if redaction.has_secret(setting.config_text, shortest=16):
        yield fail(
            "a token or key is written in the configuration, which is kept with the results",
            "take it out, revoke it, and put a new one into the environment",
        )
    if setting.config is None:
        return
    pushed = [name for name, one in setting.config.experiments.items() if one.push_to_hub]
    if pushed and not os.environ.get("HF_TOKEN"):
        yield fail(
            f"{', '.join(pushed)} is to be pushed to the hub, and HF_TOKEN is not set",
            "export HF_TOKEN with a token that may write; it is never taken from files or command lines",
        )
    elif pushed:
        yield ok("HF_TOKEN is set")
    llm = setting.config.qa.llm
    if setting.config.qa.backend == "openai" and llm is not None and not os.environ.get(llm.api_key_env):
        yield warn(
            f"{llm.api_key_env} is not set; a server of your own may need none", f"export {llm.api_key_env} if it does"
        )
    trackers = {one.train.report_to for one in setting.config.experiments.values()}
    online = os.environ.get("WANDB_MODE") == "online"
    if "wandb" in trackers and online and not os.environ.get("WANDB_API_KEY"):
        yield fail("report_to: wandb with WANDB_MODE=online, and WANDB_API_KEY is not set", "export it, or go offline")
    if not pushed and setting.config.qa.backend != "openai" and "wandb" not in trackers:
        yield ok("this run needs no token")
