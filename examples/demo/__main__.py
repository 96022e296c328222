"""The project's main job from payment to payout and slash, on real parts. Run it with ``make demo``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray logs an error for actor handles among a restartable actor's arguments; that such workers do come back is tested.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
sys.path.insert(0, str(Path(__file__).parent))

import story

if __name__ == "__main__":
    sys.exit(story.tell(time.perf_counter()))
