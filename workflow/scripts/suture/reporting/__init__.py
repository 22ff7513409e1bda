"""The run's page: what was run, on what data, with what result."""
