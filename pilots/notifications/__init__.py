"""Alarms told to people outside the pages, by mail and webhook; by a job of the beat, never in the flush. [operation]

`planning` writes what is to be told, and to whom, as rows in one transaction; `sending` claims a row, sends it outside any
transaction and notes the outcome. A crash between the sending and the note leaves the row claimed: it is sent once more, under
the same id and saying so, and not a third time.
"""
