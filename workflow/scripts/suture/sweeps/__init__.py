"""One experiment at many settings: its points, the jobs that make them, and the table of what came out."""
