"""The event journal: what happened and who did what, as one list by time. [operation]

Two tables, no copy. What people and the program did stands in the audit trail already, chained and kept for years: writing it a
second time would cost every set-point a row more and give two truths. What happened by itself had no history: an alarm's row
keeps only its newest coming and going, a link's row only its state. Those transitions are `JournalEntry` rows. Both tables have
an index on (pilot, time), so a page is the merge of two short index scans, however long the lists are.
"""
