"""Deal automations: eleven actions on deals in a pipeline stage, each once per deal."""
