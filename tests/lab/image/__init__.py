"""Guest images of the lab, made from nothing with the machine's own package sources: see ``build.ensure``."""
