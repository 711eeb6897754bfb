// SPDX-License-Identifier: Apache-2.0
// One AXI4 read channel: bursts go out while their beats are sure to find room, so RREADY never falls and a blocked
// consumer never blocks the memory. Up to OutstandingBursts bursts and OutstandingBursts x BurstBeats beats are open.
// A request reaches ARVALID two cycles after it is accepted here; a beat is at the output two cycles after RVALID;
// one beat a cycle.
module cosyn_axi_read (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  input  logic                                  halt_i,        // start no more bursts
  // bursts to read, in order; none may cross 4 KiB
  input  logic                                  req_valid_i,
  output logic                                  req_ready_o,
  input  logic [39:0]                           req_addr_i,
  input  logic [8:0]                            req_beats_i,
  // AXI4
  output logic [39:0]                           araddr_o,
  output logic [7:0]                            arlen_o,
  output logic                                  arvalid_o,
  input  logic                                  arready_i,
  input  logic [cosyn_pkg::ChannelBytes*8-1:0]  rdata_i,
  input  logic [1:0]                            rresp_i,
  input  logic                                  rlast_i,
  input  logic                                  rvalid_i,
  output logic                                  rready_o,
  // beats in order
  output logic                                  valid_o,
  input  logic                                  ready_i,
  output logic [cosyn_pkg::ChannelBytes*8-1:0]  data_o,
  output logic                                  idle_o,        // nothing open on the bus
  output logic                                  error_o        // RRESP was not OKAY
);
  localparam int Depth = cosyn_pkg::OutstandingBursts * cosyn_pkg::BurstBeats;
  localparam int SpaceBits = $clog2(Depth + 1);
  localparam int OpenBits = $clog2(cosyn_pkg::OutstandingBursts + 1);
  localparam int RequestDepth = 4;

  logic                 head_valid, issue;
  logic [39:0]          head_addr;
  logic [8:0]           head_beats;
  logic                 arvalid_q;
  logic [39:0]          araddr_q;
  logic [7:0]           arlen_q;
  logic [SpaceBits-1:0] space_q;   // beats that are neither requested nor held
  logic [OpenBits-1:0]  open_q;
  logic                 close, pop, fifo_ready, error_q;
  logic [$clog2(RequestDepth+1)-1:0] unused_request_count;
  logic [$clog2(Depth+2)-1:0]        unused_data_count;

  cosyn_fifo #(.Width(49), .Depth(RequestDepth)) u_requests (
    .clk_i, .rst_i,
    .valid_i(req_valid_i), .ready_o(req_ready_o), .data_i({req_addr_i, req_beats_i}),
    .valid_o(head_valid), .ready_i(issue), .data_o({head_addr, head_beats}),
    .count_o(unused_request_count)
  );

  assign issue = head_valid && !halt_i && (!arvalid_q || arready_i)
      && 32'(space_q) >= 32'(head_beats) && open_q != OpenBits'(cosyn_pkg::OutstandingBursts);
  assign close = rvalid_i && rlast_i;
  assign pop   = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      arvalid_q <= 1'b0;
      space_q   <= SpaceBits'(Depth);
      open_q    <= '0;
      error_q   <= 1'b0;
    end else begin
      if (issue) arvalid_q <= 1'b1;
      else if (arready_i) arvalid_q <= 1'b0;
      space_q <= space_q - (issue ? SpaceBits'(head_beats) : '0) + SpaceBits'(pop);
      if (issue && !close) open_q <= open_q + 1'b1;
      if (close && !issue) open_q <= open_q - 1'b1;
      error_q <= rvalid_i && rresp_i != '0;
    end
    if (issue) begin
      araddr_q <= head_addr;
      arlen_q  <= 8'(head_beats - 9'd1);
    end
  end

  cosyn_fifo_ram #(.Width(cosyn_pkg::ChannelBytes*8), .Depth(Depth)) u_data (
    .clk_i, .rst_i,
    .valid_i(rvalid_i), .ready_o(fifo_ready), .data_i(rdata_i),
    .valid_o, .ready_i, .data_o,
    .count_o(unused_data_count)
  );

  assign araddr_o  = araddr_q;
  assign arlen_o   = arlen_q;
  assign arvalid_o = arvalid_q;
  assign rready_o  = 1'b1;
  assign idle_o    = open_q == '0;
  assign error_o   = error_q;

`ifndef SYNTHESIS
  logic        held_q;
  logic [47:0] held_request_q;
  always_ff @(posedge clk_i) begin
    held_q         <= !rst_i && arvalid_o && !arready_i;
    held_request_q <= {araddr_o, arlen_o};
    if (!rst_i) begin
      if (held_q) assert (arvalid_o && {araddr_o, arlen_o} == held_request_q)
        else $error("%m: AR changed before it was accepted");
      assert (!rvalid_i || fifo_ready) else $error("%m: a beat arrived without room");
      assert (!rvalid_i || open_q != '0) else $error("%m: read data without a request");
      if (arvalid_o) assert (32'(araddr_o[11:0]) + (32'(arlen_o) + 1) * cosyn_pkg::ChannelBytes <= 4096)
        else $error("%m: a burst crosses 4 KiB");
    end
  end
`endif
endmodule
