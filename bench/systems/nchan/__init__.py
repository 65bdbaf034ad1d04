"""nginx with nchan, its module for publishing: a server that we did not write, in C."""
