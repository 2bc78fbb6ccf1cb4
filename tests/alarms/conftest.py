"""What the alarm tests share with those of set-points."""

from tests.control.conftest import wish

__all__ = ["wish"]
