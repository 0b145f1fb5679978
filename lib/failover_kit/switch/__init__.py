"""Setting up a WTI power switch: its menus read by label, what is to be changed, and the session that does it."""
