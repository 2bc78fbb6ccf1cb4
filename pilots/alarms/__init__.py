"""Alarms: what asks for an answer, from its coming to its end. [operation]"""
