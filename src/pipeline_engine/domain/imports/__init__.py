"""Deal import: a CSV file in S3 becomes deals."""
