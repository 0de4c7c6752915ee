"""How parts are trained: the skorch net, its callbacks, the optimizer."""
