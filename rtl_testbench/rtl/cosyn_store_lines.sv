// SPDX-License-Identifier: Apache-2.0
// LINES of the store unit: makes a stripe of the vector lines that come back. `full_o` with the line that completes a
// stripe, in the same cycle; a line a cycle.
module cosyn_store_lines (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  // a row begins: its first stripe, and how many
  input  logic                                  row_i,
  input  logic [31:0]                           row_stripe_i,
  input  logic [23:0]                           row_length_i,
  // lines, in their order
  input  logic                                  valid_i,
  input  logic [cosyn_pkg::LineBytes*8-1:0]     data_i,
  // stripes
  output logic                                  full_o,
  output logic                                  row_end_o,      // with full_o: the row's last
  output logic [31:0]                           stripe_o,
  output logic [cosyn_pkg::StripeBytes*8-1:0]   data_o
);
  localparam int LineBits = cosyn_pkg::LineBytes * 8;

  logic [cosyn_pkg::StripeBytes*8-1:0]         assembly_q;
  logic [$clog2(cosyn_pkg::StripeLines+1)-1:0] arrived_q;
  logic [31:0] stripe_q;      // stripe that is being assembled
  logic [23:0] left_q;        // stripes of the row still to come back

  assign full_o    = valid_i && 32'(arrived_q) == cosyn_pkg::StripeLines - 1;
  assign row_end_o = left_q == 24'd1;
  assign stripe_o  = stripe_q;
  always_comb begin
    data_o = assembly_q;
    for (int i = 0; i < cosyn_pkg::StripeLines; i++) begin
      if (32'(arrived_q) == i) data_o[i*LineBits +: LineBits] = data_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) arrived_q <= '0;
    else if (valid_i) arrived_q <= full_o ? '0 : arrived_q + 1'b1;
  end

  // no reset: written when a row begins
  always_ff @(posedge clk_i) begin
    if (valid_i) assembly_q <= data_o;
    if (row_i) begin
      stripe_q <= row_stripe_i;
      left_q   <= row_length_i;
    end else if (full_o) begin
      stripe_q <= stripe_q + 1'b1;
      left_q   <= left_q - 1'b1;
    end
  end
endmodule
