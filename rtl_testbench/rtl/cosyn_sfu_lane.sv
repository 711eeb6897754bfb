// SPDX-License-Identifier: Apache-2.0
// One lane of a pass: y = F(a b + c) d, every operation rounded. One element per cycle, latency 19 enabled cycles.
// a, b and c come together; d comes 16 cycles later, with the result of F.
module cosyn_sfu_lane (
    input  logic                                   clk_i,
    input  logic                                   en_i,
    input  logic [cosyn_pkg::MiscFunctionBits-1:0] function_i,
    input  logic                                   negate_i,    // subtract c
    input  logic [                           31:0] a_i,
    input  logic [                           31:0] b_i,
    input  logic [                           31:0] c_i,
    input  logic [                           31:0] d_i,
    output logic [                           31:0] y_o
);
  logic [31:0] multiplied, added, transformed;
  logic [31:0] c1_q, c2_q, c3_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      c1_q <= {c_i[31] ^ negate_i, c_i[30:0]};
      c2_q <= c1_q;
      c3_q <= c2_q;
    end
  end

  cosyn_fp_multiply_gated u_multiply (
      .clk_i(clk_i),
      .en_i (en_i),
      .a_i  (a_i),
      .b_i  (b_i),
      .y_o  (multiplied)
  );

  cosyn_fp_add_gated u_add (
      .clk_i(clk_i),
      .en_i (en_i),
      .a_i  (multiplied),
      .b_i  (c3_q),
      .y_o  (added)
  );

  cosyn_fp_special u_special (
      .clk_i     (clk_i),
      .en_i      (en_i),
      .function_i(function_i),
      .a_i       (added),
      .y_o       (transformed)
  );

  cosyn_fp_multiply_gated u_scale (
      .clk_i(clk_i),
      .en_i (en_i),
      .a_i  (transformed),
      .b_i  (d_i),
      .y_o  (y_o)
  );
endmodule
