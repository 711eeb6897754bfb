// SPDX-License-Identifier: Apache-2.0
// A signed 32-bit integer as float32, rounded to nearest even. Latency 2 cycles, one per cycle.
// Where the user knows when nothing is in flight, cosyn_fp_from_int32_gated simulates faster.
module cosyn_fp_from_int32 (
    input  logic        clk_i,
    input  logic [31:0] a_i,
    output logic [31:0] y_o
);
  cosyn_fp_from_int32_gated u_from_int32 (
      .clk_i(clk_i),
      .en_i (1'b1),
      .a_i  (a_i),
      .y_o  (y_o)
  );
endmodule
