"""The audit trail: who did what, when and why; only added to, hash-chained, proved. [all zones]"""
