"""Tasks: generators, corpora, splits, batches; numpy only, never torch."""
