"""A WTI IPS-800 power switch as a device. Never imports ``fence``, never shares its parser."""
