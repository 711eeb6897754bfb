"""What RtlSession and the server inside the simulation must both know, free of imports that only one of them has."""

from __future__ import annotations

SOCKET_VARIABLE = "COSYN_RTL_SOCKET"
"""Names the file descriptor of the server's end of the connection."""

WINDOW = "waves_from"
"""Signal of cosyn_tb, where it was built with COSYN_WINDOW: the cycle in which waves.fst starts."""

VISIBLE = (
    "rst",
    "clk",
    "stop",
    "interrupt",
    "cycle_q",
    "limit",
    "host_go",
    "host_write",
    "host_address",
    "host_data",
    "host_done_q",
    "host_read_q",
    "host_response_q",
    "fail_read",
    "fail_write",
    "fail_channel",
    "fail_address",
    "freeze_channel",
    "freeze_reads",
    "freeze_writes",
    "pause",
)
"""Signals of cosyn_tb that the server uses."""
