// SPDX-License-Identifier: Apache-2.0
// ChainLength DSPs: an operand register, segments of eight, and a reduction node that adds the segments' fields.
// MV: the pair is two columns' weights, the common operand an activation; MM: the pair is two tokens' activations, the
// common operand a weight. Latency 13 cycles from the ports (1 operands, 11 segment, 1 reduction), one step a cycle.
module cosyn_dsp_chain #(
    parameter bit VectorMode = 1'b1,  // 0: MM only, which saves the choice of operands
    localparam int Bits = 8 * cosyn_pkg::ChainLength
) (
    input  logic            clk_i,
    input  logic            en_i,
    input  logic            valid_i,
    input  logic            mv_i,
    input  logic [Bits-1:0] weight0_i,  // MV: column 2n; MM: the column in turn
    input  logic [Bits-1:0] weight1_i,  // MV: column 2n + 1
    input  logic [Bits-1:0] token0_i,   // MV: the row
    input  logic [Bits-1:0] token1_i,
    output logic [    31:0] low_o,      // MV: column 2n; MM: token 0
    output logic [    31:0] high_o      // MV: column 2n + 1; MM: token 1
);
  localparam int Segments = cosyn_pkg::ChainLength / 8;

  logic [Bits-1:0] high_q, low_q, common_q;

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      if (VectorMode && mv_i) begin
        high_q   <= weight1_i;
        low_q    <= weight0_i;
        common_q <= token0_i;
      end else begin
        high_q   <= token1_i;
        low_q    <= token0_i;
        common_q <= weight0_i;
      end
    end
  end

  logic [18*Segments-1:0] high, low;
  for (genvar s = 0; s < Segments; s++) begin : g_segment
    cosyn_dsp_segment #(
        .Length(8)
    ) segment (
        .clk_i,
        .en_i,
        .high_i(high_q[64*s+:64]),
        .low_i(low_q[64*s+:64]),
        .common_i(common_q[64*s+:64]),
        .high_o(high[18*s+:18]),
        .low_o(low[18*s+:18])
    );
  end

  // Reduction node.
  function automatic logic [31:0] reduced(input logic [18*Segments-1:0] parts);
    logic signed [19:0] sum;
    sum = '0;
    for (int s = 0; s < Segments; s++) sum = sum + 20'($signed(parts[18*s+:18]));
    reduced = {{12{sum[19]}}, sum};
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      low_o  <= reduced(low);
      high_o <= reduced(high);
    end
  end
endmodule
