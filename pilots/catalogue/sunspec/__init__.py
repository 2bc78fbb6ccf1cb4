"""Profiles of the SunSpec models, made from the model JSON of the SunSpec Alliance; `python -m pilots.catalogue.sunspec`."""
