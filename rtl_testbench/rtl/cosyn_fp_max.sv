// SPDX-License-Identifier: Apache-2.0
// The larger of two normalised closed float32 numbers (no NaN, no -0). Combinational.
module cosyn_fp_max (
    input  logic [31:0] a_i,
    input  logic [31:0] b_i,
    output logic [31:0] y_o
);
  // As sign-magnitude numbers order like integers once negative ones are inverted and all moved up by 2^31.
  function automatic logic [31:0] key(input logic [31:0] x);
    key = x[31] ? ~x : {1'b1, x[30:0]};
  endfunction

  assign y_o = key(a_i) >= key(b_i) ? a_i : b_i;
endmodule
