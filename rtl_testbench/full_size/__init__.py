"""Steps of models of any size on the RTL at its real size: random weights in their stored form, and a filled cache."""
