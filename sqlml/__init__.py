"""sqlml: BigQuery ML on your own machine, over DuckDB tables."""
