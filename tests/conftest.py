"""For every test."""

from hypothesis import settings

# a busy machine makes no test fail
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
