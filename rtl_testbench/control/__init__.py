"""The AXI4-Lite registers and the machine behind them."""
