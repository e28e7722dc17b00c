"""How briefs and insights are written: facts with their sources, a model that sees no text of a tenant, and a check."""
