"""Briefs for meetings: agents gather facts about people, companies and deals, and one writes the brief."""
