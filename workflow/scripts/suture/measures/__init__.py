"""What tasks measure with: counts of classes, rankings, calibration, likeness of texts. Each file one idea."""
