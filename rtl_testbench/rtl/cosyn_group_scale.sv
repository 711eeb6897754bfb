// SPDX-License-Identifier: Apache-2.0
// Behind the reduction nodes: each chain's two sums times the scale of their column's group (1 without group scales).
// All weights of a step and column share one scale, so scaling their sum equals expanding every code to INT8 first, with
// two multipliers a chain instead of one a weight. Latency 2 cycles, one step a cycle.
// Structural = 0 multiplies in one expression (simulation); 1 has a 20 x 9 bit multiplier for each sum, a DSP: out of
// adders it takes 260 look-up tables, of which devices have less to spare.
module cosyn_group_scale #(
`ifdef SYNTHESIS
    parameter bit Structural = 1'b1,
`else
    parameter bit Structural = 1'b0,
`endif
    localparam int Chains = cosyn_pkg::Chains,
    localparam int Bits = 64 * Chains
) (
    input  logic              clk_i,
    input  logic              en_i,
    input  logic              mv_i,
    input  logic              half_i,   // MM: column 2n + half of every chain
    input  logic [16*Chains-1:0] scale_i,  // byte c: column c of the tile
    input  logic [  Bits-1:0] sums_i,   // per chain low, high: 20 significant bits each
    output logic [  Bits-1:0] sums_o
);
  generate
    if (Structural) begin : g_multipliers
      for (genvar i = 0; i < 2 * Chains; i++) begin : g_sum
        logic [7:0] scale;
        logic signed [19:0] sum;
        logic signed [27:0] product_q, scaled_q;

        // MV: the sum's own column; MM: the column in turn.
        assign scale = (mv_i ? i % 2 == 1 : half_i) ? scale_i[16*(i/2)+8+:8] : scale_i[16*(i/2)+:8];
        assign sum   = sums_i[32*i+:20];
        always_ff @(posedge clk_i) begin
          if (en_i) begin
            product_q <= 28'(sum) * 28'($signed({1'b0, scale}));
            scaled_q  <= product_q;
          end
        end
        assign sums_o[32*i+:32] = {{4{scaled_q[27]}}, scaled_q};

        logic unused;
        assign unused = ^sums_i[32*i+20+:12];
      end
    end else begin : g_product
      // The scales of a chain's low and high sum.
      function automatic logic [15:0] pair_of(input logic [15:0] columns, input logic mv, input logic half);
        pair_of = mv ? columns : half ? {columns[15:8], columns[15:8]} : {columns[7:0], columns[7:0]};
      endfunction

      function automatic logic [Bits-1:0] scaled(input logic [Bits-1:0] sums, input logic [16*Chains-1:0] scales,
                                                 input logic mv, input logic half);
        logic [15:0] pair;
        for (int n = 0; n < Chains; n++) begin
          pair = pair_of(scales[16*n+:16], mv, half);
          scaled[64*n+:32] = sums[64*n+:32] * {24'd0, pair[7:0]};
          scaled[64*n+32+:32] = sums[64*n+32+:32] * {24'd0, pair[15:8]};
        end
      endfunction

      logic [Bits-1:0] product_q;
      always_ff @(posedge clk_i) begin
        if (en_i) begin
          product_q <= scaled(sums_i, scale_i, mv_i, half_i);
          sums_o    <= product_q;
        end
      end
    end
  endgenerate
endmodule
