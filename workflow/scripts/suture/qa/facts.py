"""Brings clips and annotated scenes together: the facts about each clip."""

from __future__ import annotations

from collections.abc import Sequence

from suture.qa import spatial
from suture.qa.base import Facts
from suture.qa.names import ObjectNames
from suture.qa.scenes import ClipScene
from suture.records import Clip, Rejection
from suture.windows import IDLE

STAGE = "generate_qa"


def gather(
    clips: Sequence[Clip],
    scenes: Sequence[ClipScene],
    names: ObjectNames,
    *,
    idle: bool = False,
    with_relations: bool = False,
    with_before: bool = False,
) -> tuple[list[Facts], list[Rejection]]:
    """Returns the facts about each clip that has a scene, sorted by clip id, and what was left out.

    A clip into which several scenes fall gets the union of their objects.
    Idle clips and idle scenes are no part of the published layout: they are
    passed over, and are no rejections, unless ``idle``.

    Rejections, by reason: ``no_objects`` a clip without a scene; ``no_clip`` a
    scene without a clip; ``phase_disagrees`` a scene whose phase is not its
    clip's, so that one of the two labels is wrong; and, ``with_relations``, the
    reasons of :func:`spatial.relations`, which cost only the spatial question.
    """
    clip_of = {clip.id: clip for clip in clips if idle or clip.phase != IDLE}
    idle_ids = {clip.id for clip in clips} - set(clip_of)
    before = _before(clips) if with_before else {}
    inside: dict[str, list[ClipScene]] = {}
    rejected: list[Rejection] = []
    for scene in scenes:
        clip = clip_of.get(scene.clip or "")
        if clip is not None and clip.case == scene.case and clip.phase == scene.phase:
            inside.setdefault(clip.id, []).append(scene)
        elif idle or (scene.phase != IDLE and scene.clip not in idle_ids):
            rejected.append(_scene_rejection(scene, clip))
    facts = []
    for clip in sorted(clip_of.values(), key=lambda one: one.id):
        if clip.id not in inside:
            rejected.append(_rejection("no_objects", clip.case, f"clip {clip.id}", "no annotated scene falls into it"))
            continue
        found = spatial.relations(inside[clip.id], names) if with_relations else None
        if isinstance(found, str):
            rejected.append(_rejection(found, clip.case, f"clip {clip.id}", "it gets no spatial question"))
            found = None
        seen = {name for scene in inside[clip.id] for name, _ in scene.objects}
        anatomy, instruments = (names.in_order(kind, seen) for kind in ("anatomy", "instruments"))
        facts.append(
            Facts(
                clip=clip.id,
                case=clip.case,
                phase=clip.phase,
                anatomy=anatomy,
                instruments=instruments,
                relations=found,
                before=before.get(clip.id),
            )
        )
    return facts, sorted(rejected, key=lambda one: (one.case, one.reason, one.where))


def _before(clips: Sequence[Clip]) -> dict[str, str]:
    """Returns, by clip, the phase that was under way before the clip's own; empty for the first one of a case.

    A phase that is taken up again after a pause has the same phase before it as
    at first. Idle time is no phase: an idle clip has none before it either.
    """
    found: dict[str, str] = {}
    latest: dict[str, list[str]] = {}
    for clip in sorted(clips, key=lambda one: (one.case, one.source, one.start_s, one.id)):
        if clip.phase != IDLE:
            phases = latest.setdefault(clip.case, [])
            if phases[-1:] != [clip.phase]:
                phases.append(clip.phase)
            found[clip.id] = phases[-2] if len(phases) > 1 else ""
    return found


def _scene_rejection(scene: ClipScene, clip: Clip | None) -> Rejection:
    if scene.clip is None:
        return _rejection("no_clip", scene.case, scene.where, f"no clip at this time ({scene.phase})")
    if clip is None or clip.case != scene.case:
        return _rejection("no_clip", scene.case, scene.where, f"its clip {scene.clip} is not in the clips manifest")
    return _rejection("phase_disagrees", scene.case, scene.where, f"{scene.phase}; its clip {clip.id} is {clip.phase}")


def _rejection(reason: str, case: str, where: str, detail: str) -> Rejection:
    return Rejection(stage=STAGE, reason=reason, case=case, where=where, detail=detail)
