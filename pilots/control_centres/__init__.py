"""Northbound IEC 60870-5-104: control centres of others read our points and send set-points through the one door. [operation]"""
