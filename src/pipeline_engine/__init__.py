"""Pipeline Engine: the background engine of a CRM, in one asyncio daemon."""
