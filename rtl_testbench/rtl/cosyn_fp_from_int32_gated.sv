// SPDX-License-Identifier: Apache-2.0
// A signed 32-bit integer as float32, rounded to nearest even. Latency 2 enabled cycles, one per cycle;
// `en_i` low freezes both stages (an idle unit costs nothing).
module cosyn_fp_from_int32_gated (
    input  logic        clk_i,
    input  logic        en_i,
    input  logic [31:0] a_i,
    output logic [31:0] y_o
);
  logic        sign1_q;
  logic [31:0] magnitude1_q;
  logic [ 4:0] zeros1_q;

  function automatic logic [4:0] leading_zeros(input logic [31:0] value);
    logic [31:0] x;
    x = value;
    leading_zeros = 5'd0;
    if (x[31:16] == 16'd0) begin
      leading_zeros[4] = 1'b1;
      x = {x[15:0], 16'd0};
    end
    if (x[31:24] == 8'd0) begin
      leading_zeros[3] = 1'b1;
      x = {x[23:0], 8'd0};
    end
    if (x[31:28] == 4'd0) begin
      leading_zeros[2] = 1'b1;
      x = {x[27:0], 4'd0};
    end
    if (x[31:30] == 2'd0) begin
      leading_zeros[1] = 1'b1;
      x = {x[29:0], 2'd0};
    end
    leading_zeros[0] = !x[31];
  endfunction

  function automatic logic [31:0] round(input logic sign, input logic [31:0] magnitude, input logic [4:0] zeros);
    logic [31:0] x;
    logic [23:0] rounded;  // fraction and its carry
    x = magnitude << zeros;
    rounded = {1'b0, x[30:8]} + {23'd0, x[7] & (|x[6:0] | x[8])};
    if (!x[31]) round = 32'd0;
    else round = {sign, 8'd158 - 8'(zeros) + 8'(rounded[23]), rounded[22:0]};
  endfunction

  logic [31:0] magnitude;
  assign magnitude = a_i[31] ? 32'd0 - a_i : a_i;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      sign1_q <= a_i[31];
      magnitude1_q <= magnitude;
      zeros1_q <= leading_zeros(magnitude);
      y_o <= round(sign1_q, magnitude1_q, zeros1_q);
    end
  end
endmodule
