"""Form submissions out of Google Sheets: which rows are new, which were edited, and what follows from them."""
