"""Benchmarks of the fused operators against their peers: `python -m trainer bench gce|sample`."""
