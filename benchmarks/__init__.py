"""Figures of this machine, printed and written to ``results.md``. Run with ``make bench``."""
