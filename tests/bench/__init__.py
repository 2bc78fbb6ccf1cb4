"""The hot paths beside their limits, in one run on one machine: `make bench`, docs/performance.md."""
