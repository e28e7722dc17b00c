"""All questions to MongoDB and all its indexes, one file per noun. motor appears nowhere else but in `app`."""
