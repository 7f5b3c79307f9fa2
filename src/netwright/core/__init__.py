"""The nouns every stage shares: recipe, artifact, measurement, workload, run. Never imports torch."""
