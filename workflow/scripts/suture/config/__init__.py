"""The configuration: one pydantic model is the source of defaults, schema, docs and checks."""
