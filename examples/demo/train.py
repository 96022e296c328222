"""Train the demo's small models into the cache, or find them there: ``make models``."""

from __future__ import annotations

from world import train

from openledger.settings import get_settings

if __name__ == "__main__":
    train(get_settings().cache_dir)
