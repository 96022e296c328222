"""The Ray cluster that workers and engines run on: one machine by default, any cluster by its address."""

from __future__ import annotations

from ._connect import connect

__all__ = ["connect"]
