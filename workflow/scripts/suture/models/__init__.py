"""Model families: a model, its inputs and labels, its loss. One module a family."""
