"""From connections to measurements: gateway, supervisors and the one door for values. [station]"""
