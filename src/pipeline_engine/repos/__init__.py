"""All queries to MongoDB and all its indexes, one file per noun. Only this package and `app` import motor."""
