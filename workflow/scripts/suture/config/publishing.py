"""Publishing a model on the hub: keys of the config and flags of ``push_to_hub.py``, and whose models may go there."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Sharing = Literal["open", "internal", "credentialed"]


class PushToHub(BaseModel):
    """One model's repository on the hub."""

    model_config = ConfigDict(extra="forbid", validate_default=True, strict=True)

    repo_id: str = Field(
        pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$",
        description="Repository, as OWNER/NAME; made if it is not there.",
        examples=["our-group/qwen2.5-vl-7b-instruct-cataract1k"],
    )
    private: bool = Field(True, description="Only its owners see it. It is not made public again by a later push.")
    adapter_only: bool = Field(
        False, description="LoRA: push the adapters without the base they stand on, instead of the merged model."
    )
    license: str | None = Field(
        None, description="Licence of the model, by the hub's short name; default: that of the base, where it is known."
    )
    allow_internal: bool = Field(
        False, description="The data are `sharing: internal`, and a model trained on them may be pushed all the same."
    )


def refusal(sharing: Sharing, options: PushToHub) -> str | None:
    """Says why a model trained on such data may not be pushed, or None where it may.

    A model can give back what it was trained on, so it is shared as its data are.
    """
    if sharing == "credentialed":
        return "the data are credentialed: neither they nor a model made of them may leave"
    if sharing == "internal" and not options.allow_internal:
        return "the data are internal: add  allow_internal: true  if whoever is responsible for them agrees"
    return None
