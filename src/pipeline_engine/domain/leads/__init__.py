"""Lead pipelines: the actions of a stage, one after the other, on every lead that enters it."""
