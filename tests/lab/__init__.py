"""The lab: the pair of the HOWTO as virtual machines with kernels of their own. Begin with ``lab.lab``."""
