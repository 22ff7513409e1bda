"""A clinician's review of questions and answers: what is drawn for it, what it found, and what that changes."""
