"""The history of every point: samples written as arrays, read as rows, series and intervals. [operation]"""
