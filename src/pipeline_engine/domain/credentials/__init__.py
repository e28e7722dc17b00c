"""OAuth credentials of integrations: refreshed before use and once a day, and whom to ask when a grant is dead."""
