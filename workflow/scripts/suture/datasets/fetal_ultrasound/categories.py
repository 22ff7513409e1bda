"""The categories of images: the publisher's fourteen, his misspellings of them, and anyone's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath

from suture.delimited import plain

CATEGORIES = (
    "Abdomen",
    "Aorta",
    "CRL-View",
    "Cervical",
    "Cervix",
    "Femur",
    "NT-View",
    "Non_standard_NT",
    "Public_Symphysis_fetal_head",
    "Standard_NT",
    "Thorax",
    "Trans-cerebellum",
    "Trans-thalamic",
    "Trans-ventricular",
)

# "Abodomen", as folder and file are really spelled, is 0.93 alike; Cervix and Cervical are 0.71.
_ALIKE = 0.85
_LIST = re.compile(r"[\s_-]*(image[\s_-]*list|annotations?|labels?|labell?ed)$", re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@lru_cache(maxsize=10_000)
def canonical(spelling: str) -> str:
    """Returns the category that a folder's, file's or sheet's name means; a name of one's own is kept."""
    by_plain = {plain(name): name for name in CATEGORIES}
    mine = plain(spelling)
    near = [mine] if mine in by_plain else difflib.get_close_matches(mine, list(by_plain), n=1, cutoff=_ALIKE)
    return by_plain[near[0]] if near else " ".join(spelling.split())


def of_file(stem: str) -> str:
    """Returns the category's spelling in a file's name: ``Abodomen_image_list`` is Abodomen's."""
    return _LIST.sub("", stem) or stem


def is_misspelt(spelling: str) -> bool:
    """Tells whether a spelling differs from its category's by more than case, blanks, hyphens and underscores."""
    return plain(spelling) != plain(canonical(spelling))


def case_id(category: str, image: str) -> str:
    """Returns the case of an image that has no patient: the category, and what tells the image apart in it.

    ``Abdomen_001.png`` of Abdomen is ``Abdomen_001``, and so is ``Abodomen_001.png``;
    ``7.png`` of Femur is ``Femur_7``. All cases of a category fit ``<category>_*``.

    Args:
        category: canonical.
        image: the file's name, with or without a folder.
    """
    stem = PurePosixPath(image.replace("\\", "/")).name
    stem = re.sub(r"\.(png|jpe?g|bmp|tiff?|dcm)$", "", stem, flags=re.IGNORECASE)
    head = re.match(r"(.*?)[\s_-]*(\d+)$", stem)
    if head and head[1] and canonical(head[1]) == category:
        stem = head[2]
    elif stem.casefold().startswith(f"{category}_".casefold()):
        stem = stem[len(category) + 1 :]
    return safe(f"{category}_{stem}")


def safe(text: str) -> str:
    """Makes a text a case id: a file's name in any file system."""
    return _UNSAFE.sub("_", text).strip("._-") or "unnamed"


def folder_of(category: str, folders: Iterable[str], others: Iterable[str]) -> list[str]:
    """Returns the folders whose name means a category: those spelled right, else those misspelt.

    Args:
        category: canonical.
        folders: names there are.
        others: all categories of the data: a folder that is another's by its exact name is not this one's.
    """
    names = sorted(set(folders))
    exact = [name for name in names if plain(name) == plain(category)]
    taken = {plain(other) for other in others} - {plain(category)}
    free = {plain(name): name for name in names if plain(name) not in taken}
    near = difflib.get_close_matches(plain(category), list(free), n=3, cutoff=_ALIKE)
    return exact or [free[one] for one in near]
