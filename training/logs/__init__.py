"""Query logs as training material: read, kept aside, turned into pairs of question and SQL, reviewed by a person."""
