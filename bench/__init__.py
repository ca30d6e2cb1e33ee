"""Benchmarks of affectrt against its peers; see README.md beside this file."""
