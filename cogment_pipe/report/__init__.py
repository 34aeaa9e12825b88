"""The report: one self-contained page made from JSON artifacts, without torch."""
