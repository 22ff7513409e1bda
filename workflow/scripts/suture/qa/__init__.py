"""Questions and answers about clips: facts from the annotation, worded by a back end.

``scenes`` and ``facts`` gather what the annotation says of a clip; a back end
(``base.Backend``) only words it; ``published`` is the seed's file layout.
"""
