// SPDX-License-Identifier: Apache-2.0
// A float32 rounded to the nearest integer (ties to even) and clamped to -127..127.
// Latency 2 enabled cycles, one per cycle; `en_i` low freezes both stages.
module cosyn_fp_to_int8 (
    input  logic        clk_i,
    input  logic        en_i,
    input  logic [31:0] a_i,
    output logic [ 7:0] y_o
);
  // 2^-1 has exponent 126; 2^7 has 134.
  localparam bit [7:0] Half = 8'd126;
  localparam bit [7:0] Limit = 8'd134;

  logic sign1_q, beyond1_q, guard1_q, sticky1_q;
  logic [6:0] whole1_q;

  // {whole [6:0], guard, sticky} of a number below 2^7
  function automatic logic [8:0] split(input logic [30:0] x);
    logic [31:0] fixed;  // 7 bits before the point
    fixed = {1'b1, x[22:0], 8'd0} >> (Limit - 8'd1 - x[30:23]);
    split = x[30:23] < Half ? 9'd0 : {fixed[31:25], fixed[24], |fixed[23:0]};
  endfunction

  function automatic logic [7:0] round(
      input logic sign, input logic beyond, input logic [6:0] whole, input logic guard, input logic sticky
  );
    logic [7:0] magnitude;
    magnitude = {1'b0, whole} + {7'd0, guard & (sticky | whole[0])};
    if (beyond || magnitude[7]) magnitude = 8'd127;
    round = sign ? 8'd0 - magnitude : magnitude;
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      sign1_q <= a_i[31];
      beyond1_q <= a_i[30:23] >= Limit;
      {whole1_q, guard1_q, sticky1_q} <= split(a_i[30:0]);
      y_o <= round(sign1_q, beyond1_q, whole1_q, guard1_q, sticky1_q);
    end
  end
endmodule
