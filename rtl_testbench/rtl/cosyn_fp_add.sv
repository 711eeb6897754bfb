// SPDX-License-Identifier: Apache-2.0
// a + b in closed float32, rounded once to nearest even; the caller flips b's sign to subtract.
// Latency 4 cycles, one sum per cycle. Where the user knows when nothing is in flight, cosyn_fp_add_gated simulates faster.
module cosyn_fp_add (
    input  logic        clk_i,
    input  logic [31:0] a_i,
    input  logic [31:0] b_i,
    output logic [31:0] y_o
);
  cosyn_fp_add_gated u_add (
      .clk_i(clk_i),
      .en_i (1'b1),
      .a_i  (a_i),
      .b_i  (b_i),
      .y_o  (y_o)
  );
endmodule
