"""Experiment configurations and benchmarks. Imported as `lossearch.experiments`."""

if __name__ == "experiments":
    raise ImportError("'experiments' is part of lossearch; import it as 'lossearch.experiments'")
