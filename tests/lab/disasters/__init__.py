"""Two disasters that one kernel cannot show: a stop that hangs while both links go, with and without fencing."""
