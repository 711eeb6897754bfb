// SPDX-License-Identifier: Apache-2.0
// One AXI4 write channel. The store unit puts the beats of a burst first and its request with the last beat, so a burst
// that has begun never waits for data. Room for more beats is promised by room_o (at least Margin free), not by
// back-pressure. A request reaches AWVALID two cycles after it was given; one burst and one beat a cycle.
module cosyn_axi_write #(
  parameter int Margin = 8
) (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  input  logic                                  halt_i,        // start no more bursts
  output logic                                  room_o,
  input  logic                                  data_valid_i,
  input  logic [cosyn_pkg::ChannelBytes*8-1:0]  data_i,
  input  logic [cosyn_pkg::ChannelBytes-1:0]    strobe_i,
  input  logic                                  last_i,        // with data_valid_i: this beat closes a burst
  input  logic [39:0]                           burst_addr_i,  // with last_i; may not cross 4 KiB
  input  logic [8:0]                            burst_beats_i,
  // AXI4
  output logic [39:0]                           awaddr_o,
  output logic [7:0]                            awlen_o,
  output logic                                  awvalid_o,
  input  logic                                  awready_i,
  output logic [cosyn_pkg::ChannelBytes*8-1:0]  wdata_o,
  output logic [cosyn_pkg::ChannelBytes-1:0]    wstrb_o,
  output logic                                  wlast_o,
  output logic                                  wvalid_o,
  input  logic                                  wready_i,
  input  logic [1:0]                            bresp_i,
  input  logic                                  bvalid_i,
  output logic                                  bready_o,
  output logic                                  idle_o,        // nothing open on the bus
  output logic                                  error_o        // BRESP was not OKAY
);
  localparam int Depth = 2 * cosyn_pkg::BurstBeats + Margin;
  localparam int CountBits = $clog2(Depth + 1);
  localparam int OpenBits = $clog2(cosyn_pkg::OutstandingBursts + 1);
  localparam int Bits = cosyn_pkg::ChannelBytes * 8;

  logic                 head_valid, issue, beat_valid, beat, close;
  logic [39:0]          head_addr, awaddr_q;
  logic [8:0]           head_beats;
  logic                 awvalid_q, error_q, data_ready, request_ready;
  logic [7:0]           awlen_q;
  logic [OpenBits-1:0]  open_q;      // bursts without a response
  logic [OpenBits-1:0]  started_q;   // bursts whose data has not gone out entirely
  logic [CountBits-1:0] count, unused_request_count;

  cosyn_fifo #(.Width(49), .Depth(Depth)) u_requests (
    .clk_i, .rst_i,
    .valid_i(data_valid_i && last_i), .ready_o(request_ready), .data_i({burst_addr_i, burst_beats_i}),
    .valid_o(head_valid), .ready_i(issue), .data_o({head_addr, head_beats}),
    .count_o(unused_request_count)
  );
  cosyn_fifo #(.Width(Bits + cosyn_pkg::ChannelBytes + 1), .Depth(Depth)) u_data (
    .clk_i, .rst_i,
    .valid_i(data_valid_i), .ready_o(data_ready), .data_i({last_i, strobe_i, data_i}),
    .valid_o(beat_valid), .ready_i(beat), .data_o({wlast_o, wstrb_o, wdata_o}),
    .count_o(count)
  );

  assign issue    = head_valid && !halt_i && (!awvalid_q || awready_i)
      && open_q != OpenBits'(cosyn_pkg::OutstandingBursts);
  assign wvalid_o = beat_valid && started_q != '0;
  assign beat     = wvalid_o && wready_i;
  assign close    = bvalid_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      awvalid_q <= 1'b0;
      open_q    <= '0;
      started_q <= '0;
      error_q   <= 1'b0;
    end else begin
      if (issue) awvalid_q <= 1'b1;
      else if (awready_i) awvalid_q <= 1'b0;
      if (issue && !close) open_q <= open_q + 1'b1;
      if (close && !issue) open_q <= open_q - 1'b1;
      if (issue && !(beat && wlast_o)) started_q <= started_q + 1'b1;
      if (beat && wlast_o && !issue) started_q <= started_q - 1'b1;
      error_q <= bvalid_i && bresp_i != '0;
    end
    if (issue) begin
      awaddr_q <= head_addr;
      awlen_q  <= 8'(head_beats - 9'd1);
    end
  end

  assign awaddr_o  = awaddr_q;
  assign awlen_o   = awlen_q;
  assign awvalid_o = awvalid_q;
  assign bready_o  = 1'b1;
  assign room_o    = 32'(count) + Margin <= Depth;
  assign idle_o    = open_q == '0;
  assign error_o   = error_q;

`ifndef SYNTHESIS
  logic        held_q, held_beat_q;
  logic [47:0] held_request_q;
  logic [Bits-1:0] held_data_q;
  always_ff @(posedge clk_i) begin
    held_q         <= !rst_i && awvalid_o && !awready_i;
    held_request_q <= {awaddr_o, awlen_o};
    held_beat_q    <= !rst_i && wvalid_o && !wready_i;
    held_data_q    <= wdata_o;
    if (!rst_i) begin
      if (held_q) assert (awvalid_o && {awaddr_o, awlen_o} == held_request_q)
        else $error("%m: AW changed before it was accepted");
      if (held_beat_q) assert (wvalid_o && wdata_o === held_data_q) else $error("%m: W changed before it was accepted");
      assert (!data_valid_i || (data_ready && request_ready)) else $error("%m: a beat was given without room");
      assert (!bvalid_i || open_q != '0) else $error("%m: a write response without a request");
      if (awvalid_o) assert (32'(awaddr_o[11:0]) + (32'(awlen_o) + 1) * cosyn_pkg::ChannelBytes <= 4096)
        else $error("%m: a burst crosses 4 KiB");
    end
  end
`endif
endmodule
