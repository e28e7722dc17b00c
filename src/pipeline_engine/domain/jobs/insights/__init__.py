"""Daily insights: what happened in an account in a day, against its seven days before."""
