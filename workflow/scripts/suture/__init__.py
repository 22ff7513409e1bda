"""Suture: from annotated medical video to trained, honestly measured models.

The library behind ``workflow/scripts/*.py``. It is importable there without
installing, because a script's own folder is the first entry of ``sys.path``.
"""
