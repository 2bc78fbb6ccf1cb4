"""Handing a shift over: what happened in it, what stands, notes and signatures. [operation]"""
