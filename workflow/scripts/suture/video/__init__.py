"""Video files: index, lossless cut, equality check, reading, exact export."""
