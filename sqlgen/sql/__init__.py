"""SQL as text and as a tree. The only package that imports sqlglot."""
