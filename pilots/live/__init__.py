"""Changes on their way to the browsers: message shapes and the hub that hands each frame to everyone. [operation]"""
