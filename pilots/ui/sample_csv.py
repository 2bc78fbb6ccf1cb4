"""What lists of pages take from the one writer of CSV (`pilots.exports.sample_csv`)."""

from pilots.exports.sample_csv import Echo, csv_lines, harmless

__all__ = ["Echo", "csv_lines", "harmless"]
