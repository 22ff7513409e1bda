"""Drawn surgery videos in Cataract-1K's file formats: data that anyone may have.

``plan`` says what happens when, ``eye`` and ``instruments`` what it looks
like, ``film`` turns both into frames, ``publish`` writes the publisher's
files; ``like`` draws the polygons of real annotations instead.
"""
