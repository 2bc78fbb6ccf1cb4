"""The communication layer of INVADE D7.1: devices below, the INVADE platform above."""
