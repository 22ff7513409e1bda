"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from suture import files

CELL, MARGIN, TEXT = 90, 16, 14
"""Side of a cell, distance of the parts, height of the letters; in pixels."""

_DARK = (17, 66, 120)


def draw(path: Path, counts: Sequence[Sequence[int]], classes: Sequence[str], *, title: str = "") -> None:
    """Writes a PNG: gold classes down, predicted ones across; the darker, the larger its share of the gold class.

    Args:
        path: of the picture.
        counts: rows are gold, columns predicted.
        classes: names of both.
        title: a line above.
    """
    font = ImageFont.load_default(TEXT)
    names = max(int(font.getlength(name)) for name in classes)
    left, top = names + 2 * MARGIN, 3 * TEXT + 3 * MARGIN
    side = max(CELL, names + MARGIN)
    width = max(left + side * len(classes) + MARGIN, int(font.getlength(title)) + 2 * MARGIN)
    image = Image.new("RGB", (width, top + CELL * len(classes) + MARGIN), "white")
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN, MARGIN), title, fill="black", font=font)
    pen.text((left, 2 * MARGIN + TEXT), "predicted (down: gold)", fill="gray", font=font)
    for column, name in enumerate(classes):
        pen.text((left + side * (column + 0.5), top - MARGIN / 2), name, fill="black", font=font, anchor="ms")
    for row, (name, numbers) in enumerate(zip(classes, counts, strict=True)):
        middle = top + CELL * (row + 0.5)
        pen.text((left - MARGIN, middle), name, fill="black", font=font, anchor="rm")
        for column, number in enumerate(numbers):
            share = number / max(1, sum(numbers))
            colour = tuple(round(255 + share * (dark - 255)) for dark in _DARK)
            x, y = left + side * column, top + CELL * row
            pen.rectangle((x, y, x + side - 2, y + CELL - 2), fill=colour, outline="lightgray")
            ink = "white" if share > 0.5 else "black"
            pen.text((x + side / 2, middle), f"{number}\n{share:.0%}", fill=ink, font=font, anchor="mm", align="center")
    with files.atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
