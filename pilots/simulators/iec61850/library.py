"""hat-drivers' MMS, imported without the deprecation its import gives off on Python 3.11. [zone: field, simulated]"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # It reads its ASN.1 by importlib.resources.open_text; warnings are errors in our tests.
    warnings.simplefilter("ignore", DeprecationWarning)
    from hat.drivers import mms, net

__all__ = ["mms", "net"]
