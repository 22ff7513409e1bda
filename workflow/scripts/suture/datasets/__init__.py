"""Dataset adapters: a publisher's files → cases. One module a dataset."""
