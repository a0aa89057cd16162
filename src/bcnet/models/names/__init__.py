"""Names of tensors in the files of other code bases, and of ours in their place."""
