"""Pictures and self-contained HTML pages of what was prepared, trained and measured; headless."""
