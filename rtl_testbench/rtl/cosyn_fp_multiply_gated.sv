// SPDX-License-Identifier: Apache-2.0
// a x b in closed float32 (accelerator_model/numerics/float32.py), rounded once to nearest even.
// Latency 3 enabled cycles, one product per cycle; `en_i` low freezes all stages (an idle unit costs nothing).
// The 24 x 24 significand product is two DSPs, 24 x 17 and 24 x 7, added in the rounding stage.
module cosyn_fp_multiply_gated (
    input  logic        clk_i,
    input  logic        en_i,
    input  logic [31:0] a_i,
    input  logic [31:0] b_i,
    output logic [31:0] y_o
);
  logic        sign1_q, zero1_q, sign2_q, zero2_q;
  logic [ 8:0] exponent1_q, exponent2_q;  // sum of both biased exponents
  logic [23:0] a1_q, b1_q;
  logic [40:0] low2_q;
  logic [30:0] high2_q;

  // An operand as it is read: exponent 255 is the largest finite number; zero is handled by zero1_q.
  function automatic logic [8:0] read_exponent(input logic [7:0] exponent);
    read_exponent = &exponent ? 9'd254 : {1'b0, exponent};
  endfunction

  function automatic logic [23:0] read_significand(input logic [30:0] x);
    read_significand = &x[30:23] ? 24'hFFFFFF : {1'b1, x[22:0]};
  endfunction

  function automatic logic [31:0] finish(
      input logic sign, input logic zero, input logic [8:0] exponent, input logic [40:0] low, input logic [30:0] high
  );
    logic [47:0] full_product;
    logic [24:0] rounded;
    logic [ 9:0] biased_twice;  // exponent + 127
    logic guard, sticky;
    full_product = 48'(low) + {high, 17'd0};
    biased_twice = 10'(exponent) + 10'(full_product[47]);
    if (full_product[47]) begin
      guard   = full_product[23];
      sticky  = |full_product[22:0];
      rounded = {1'b0, full_product[47:24]};
    end else begin
      guard   = full_product[22];
      sticky  = |full_product[21:0];
      rounded = {1'b0, full_product[46:23]};
    end
    // The exact product decides about underflow, so this comes before rounding.
    if (zero || biased_twice <= 10'd127) finish = 32'd0;
    else begin
      rounded = rounded + {24'd0, guard & (sticky | rounded[0])};
      biased_twice = biased_twice + 10'(rounded[24]);
      if (biased_twice >= 10'd382) finish = {sign, 31'h7F7FFFFF};
      else finish = {sign, 8'(biased_twice - 10'd127), rounded[22:0]};
    end
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      sign1_q <= a_i[31] ^ b_i[31];
      zero1_q <= a_i[30:23] == 8'd0 || b_i[30:23] == 8'd0;
      exponent1_q <= read_exponent(a_i[30:23]) + read_exponent(b_i[30:23]);
      a1_q <= read_significand(a_i[30:0]);
      b1_q <= read_significand(b_i[30:0]);
      sign2_q <= sign1_q;
      zero2_q <= zero1_q;
      exponent2_q <= exponent1_q;
      low2_q <= 41'(a1_q) * 41'(b1_q[16:0]);
      high2_q <= 31'(a1_q) * 31'(b1_q[23:17]);
      y_o <= finish(sign2_q, zero2_q, exponent2_q, low2_q, high2_q);
    end
  end
endmodule
