"""Exports of the history as files: asked for, written as jobs, kept for some days. [operation]"""
