"""Set-points: the one door and their life. [operation]"""
