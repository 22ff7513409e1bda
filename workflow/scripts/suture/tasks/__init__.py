"""Tasks: what an answer is and how it is scored. One module a task."""
