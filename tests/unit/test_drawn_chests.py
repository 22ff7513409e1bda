"""Drawn radiographs: no patient's image is taken for another's, and a patient's images share what is their own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from suture.drawing import chests, radiograph
from suture.drawing.chests import Chest
from suture.leaks import ALIKE
from suture.perceptual_hash import likeness

PATIENTS = 60


def frames(images: list[np.ndarray]) -> np.ndarray:
    return np.repeat(np.stack(images)[..., None], 3, axis=-1)


@pytest.mark.parametrize("seed", [7, 8])
def test_the_leak_gate_takes_no_patient_for_another(seed: int) -> None:
    drawn = [
        (case, radiograph.draw(study.chest, study.id, case, seed, 56))
        for number, case in enumerate(chests.case_ids(PATIENTS), start=1)
        for study in chests.studies(number, seed)
    ]
    whose, pictures = np.array([case for case, _ in drawn]), frames([picture for _, picture in drawn])
    strangers = whose[:, None] != whose[None]
    assert likeness(pictures, pictures)[strangers].max() < ALIKE


def test_a_patients_images_have_the_same_tissue() -> None:
    healthy = Chest(heart=0, effusion="", nodule="", large=False, opacity=False, device=False)
    cases = [case for case in chests.case_ids(12) for _ in range(2)]
    pictures = frames([radiograph.draw(healthy, f"image {n}", case, 7, 56) for n, case in enumerate(cases)])
    alike = likeness(pictures, pictures)
    same = [alike[n, n + 1] for n, (one, other) in enumerate(pairwise(cases)) if one == other]
    others = [alike[n, n + 1] for n, (one, other) in enumerate(pairwise(cases)) if one != other]
    assert np.mean(same) > np.mean(others) + 0.05
