"""Deal automations: actions on deals in a pipeline stage, each taking effect once per deal."""
