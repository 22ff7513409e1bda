"""The model that is asked: found in a folder or on the hub, with or without an adapter, and loaded."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture import adapter_folder, files, hub, libraries, model_folder, registry, untold
from suture.adapter_folder import AdapterFolder
from suture.errors import InputError
from suture.models.base import VideoModel
from suture.progress import say
from suture.weights import takes_files


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A model folder, the adapter to put on it, and what is known of them: the adapter's card before the model's.

    ``report``: how the tensors of a checkpoint file fitted the model.
    """

    folder: Path
    adapter: AdapterFolder | None
    card: dict[str, Any]
    family: str
    report: dict[str, Any] | None = None

    @property
    def where(self) -> Path:
        """The folder that should know how the model was trained."""
        return self.adapter.path if self.adapter else self.folder


def choose(
    model: str,
    *,
    revision: str | None = None,
    adapter: str | None = None,
    adapter_revision: str | None = None,
    family: str | None = None,
    labels: list[str] | None = None,
    assume: Sequence[str] | None = None,
) -> Chosen:
    """Finds a model and an adapter; what is on the hub is fetched, so call this before the libraries go offline.

    Args:
        model: a folder or a hub id.
        revision: commit of a hub model.
        adapter: a folder or a hub id.
        adapter_revision: commit of a hub adapter.
        labels: classes of the head in a checkpoint file, in its order.
        family: name of the family, where no file tells it or it is to be checked.
        assume: what a checkpoint file does not tell, see :mod:`suture.untold`.

    Raises:
        InputError: there is no such model or adapter, they do not belong
            together, or their family is not known.
    """
    report: dict[str, Any] | None = None
    if Path(model).is_file():
        folder, report = _from_file(Path(model), family, labels, assume)
    elif assume:
        raise InputError("--assume is of a checkpoint file; a model's folder tells it all", fix="leave it out")
    else:
        folder = _folder(model, revision, "--revision")
    listed = folder / model_folder.LIST
    origin: dict[str, Any] = files.read_json(listed) if listed.is_file() else {}
    card = model_folder.read_card(folder)
    told = card.get("family") or origin.get("family") or _of_config(folder)
    found = None
    if adapter:
        place = _folder(adapter, adapter_revision, "--adapter-revision")
        for path in sorted(place.iterdir()):
            hub.check(path)
        found = adapter_folder.find(place)
        hub_id = origin.get("model") or (None if Path(model).is_dir() else model)
        if unknown := adapter_folder.check_base(found, folder, hub_id=hub_id):
            say(f"predict: {unknown}")
        card |= found.card
    named = family or card.get("family") or told
    if named is None:
        raise InputError("the folder does not say which family it is of", where=folder, fix="give --family NAME")
    return Chosen(folder=folder, adapter=found, card=card, family=named, report=report)


def load(chosen: Chosen, system_prompt: str | None) -> VideoModel:
    """Loads the model, on a GPU where there is one, and puts the adapter on it.

    Args:
        chosen: of :func:`choose`.
        system_prompt: replaces the text stored with adapter or model.

    Raises:
        InputError: the model cannot be loaded, or the adapter does not fit it.
    """
    # Not before: it imports torch.
    from suture.pretrained import placement

    device, dtype = placement(chosen.folder)
    prompt = system_prompt or chosen.card.get("system_prompt")
    model: VideoModel = registry.family(chosen.family).load(chosen.folder, prompt, dtype=dtype)
    if chosen.adapter is not None:
        from suture.adapter_tensors import put_on

        say(f"adapter: {put_on(model, chosen.adapter.path)}")
    module: Any = model.model
    module.to(device)
    return model


def _from_file(
    path: Path, family: str | None, labels: list[str] | None, assume: Sequence[str] | None
) -> tuple[Path, dict[str, Any]]:
    """Makes a model folder of a checkpoint file, for as long as this process lives."""
    if family is None:
        raise InputError("a checkpoint file does not say which family it is of", where=path, fix="give --family NAME")
    if not takes_files(family):
        raise InputError("a file; this family's models are folders", where=path, fix="give the folder")
    place = tempfile.TemporaryDirectory(prefix="suture-")
    atexit.register(place.cleanup)
    libraries.prepare(threads=1)
    told = untold.read(family, assume)
    report: dict[str, Any] = registry.family(family).take_file(path, Path(place.name), labels, **told)
    say(f"{path.name}: {report['words']}")
    if report.get("head") == "new":
        raise InputError(
            "the checkpoint has no classification head: there is nothing it could answer",
            where=path,
            fix="train it first: train.py --model of fetch_weights.py --model FILE",
        )
    return Path(place.name), report


def _folder(name: str, revision: str | None, flag: str) -> Path:
    if Path(name).is_dir():
        if revision is not None:
            raise InputError(f"{flag} is of a hub id; {name} is a folder", fix=f"leave out {flag}")
        return Path(name)
    if revision is None:
        raise InputError(
            f"there is no folder {name}", fix=f"correct its name; for a hub id give its commit: {flag} COMMIT"
        )
    return hub.cached(name, revision, flag=flag)


def _of_config(folder: Path) -> str | None:
    """Takes the library's name of a model type for a family where there is one of that name."""
    path = folder / "config.json"
    found = files.read_json(path).get("model_type") if path.is_file() else None
    return found if found in registry.names("model family") else None
