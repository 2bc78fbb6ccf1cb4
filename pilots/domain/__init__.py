"""Words and rules of the field: pure Python, no Django, no I/O, no clock. [SGAM: all zones]"""
