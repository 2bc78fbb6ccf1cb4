"""All that leaves for the INVADE platform (D7.1 2.3). [towards enterprise]"""
