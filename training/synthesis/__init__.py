"""Making of training questions: schemas with rows, wording, and families of questions."""
