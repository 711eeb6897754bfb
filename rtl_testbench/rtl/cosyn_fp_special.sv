// SPDX-License-Identifier: Apache-2.0
// Identity, exp, reciprocal, rsqrt or relu in closed float32, step by step as accelerator_model/numerics/special.py
// says: 64 quadratic segments evaluated in integers. Latency 9 enabled cycles for every function, one result per
// cycle; `en_i` low freezes all stages; `function_i` may change only while nothing is in flight.
module cosyn_fp_special (
    input  logic                                clk_i,
    input  logic                                en_i,
    input  logic [cosyn_pkg::MiscFunctionBits-1:0] function_i,
    input  logic [                        31:0] a_i,
    output logic [                        31:0] y_o
);
  localparam bit [31:0] MaxFinite = 32'h7F7FFFFF;
  localparam bit [31:0] One = 32'h3F800000;
  localparam int T = cosyn_tables_pkg::OffsetBits;
  localparam int C0 = cosyn_tables_pkg::C0Bits;
  localparam int C1 = cosyn_tables_pkg::C1Bits;
  localparam int C2 = cosyn_tables_pkg::C2Bits;
  // log2(e) without its leading one fits the 27 x 18 multiplier with the operand's parts.
  localparam int LogBits = cosyn_tables_pkg::Log2EBits - 2;

  logic is_exp, uses_table;
  assign is_exp = function_i == cosyn_pkg::FunctionExp;
  assign uses_table = is_exp || function_i == cosyn_pkg::FunctionReciprocal || function_i == cosyn_pkg::FunctionRsqrt;

  // Stages 1 to 4: the argument of exp times log2(e); the others wait.
  logic [31:0] x1_q, x2_q, x3_q;
  logic [LogBits+16:0] low2_q;
  logic [LogBits+6:0] high2_q;
  logic [30:0] magnitude3_q;

  // Stages 5 to 9: segment, square term, inner sum, linear term, result. The note of a result from the table is
  // {1'b0, .., sign, exponent}; of any other it is {1'b1, result}.
  logic [5:0] index4_q;
  logic [T-1:0] t4_q, t5_q, t6_q, t7_q;
  logic [32:0] note4_q, note5_q, note6_q, note7_q, note8_q;
  logic [C0-1:0] c0_5_q, c0_6_q, c0_7_q, c0_8_q;
  logic signed [C1-1:0] c1_5_q, c1_6_q, inner7_q;
  logic signed [C2-1:0] c2_5_q;
  logic signed [C2:0] square6_q;
  logic signed [C1:0] linear8_q;

  function automatic logic [31:0] read(input logic [31:0] x);
    if (&x[30:23]) read = {x[31], MaxFinite[30:0]};
    else if (x[30:23] == 8'd0) read = 32'd0;
    else read = x;
  endfunction

  // The product with log2(e), 31 bits of it with 23 fraction bits.
  function automatic logic [30:0] exp_argument(
      input logic [30:0] x, input logic [LogBits+16:0] low, input logic [LogBits+6:0] high
  );
    logic [50:0] full_product;
    logic [ 7:0] places;
    full_product = {1'b0, 1'b1, x[22:0], 26'd0} + 51'(low) + {2'd0, high, 17'd0};
    places = 8'd133 - x[30:23];
    full_product = full_product >> 20;
    exp_argument = places > 8'd30 ? 31'd0 : full_product[30:0] >> places[4:0];
  endfunction

  // {index, t, note}
  function automatic logic [T+38:0] prepare(
      input logic [cosyn_pkg::MiscFunctionBits-1:0] kind, input logic [31:0] x, input logic [30:0] magnitude
  );
    logic sign, zero, odd;
    logic [7:0] e;
    logic [31:0] power;
    sign = x[31];
    e = x[30:23];
    zero = e == 8'd0;
    odd = ~e[0];
    power = sign ? 32'd0 - {1'b0, magnitude} : {1'b0, magnitude};
    prepare = {23'd0, 1'b1, x};
    case (kind)
      cosyn_pkg::FunctionExp: begin
        prepare = {power[22:0], 21'd0, 1'b0, {{2{power[31]}}, power[31:23]} + 11'd127};
        if (zero) prepare[32:0] = {1'b1, One};
        else if (e >= 8'd134) prepare[32:0] = {1'b1, sign ? 32'd0 : MaxFinite};
      end
      cosyn_pkg::FunctionReciprocal: begin
        prepare = {x[22:0], 21'd0, sign, 11'd253 - 11'(e)};
        if (zero) prepare[32:0] = {1'b1, MaxFinite};
      end
      cosyn_pkg::FunctionRsqrt: begin
        prepare = {odd, x[22:1], 21'd0, 1'b0, 11'd189 + 11'(odd) - 11'(e[7:1])};
        if (zero || sign) prepare[32:0] = {1'b1, MaxFinite};
      end
      cosyn_pkg::FunctionRelu: if (sign) prepare[32:0] = {1'b1, 32'd0};
      default: ;
    endcase
  endfunction

  function automatic logic [C0+C1+C2-1:0] segment(
      input logic [cosyn_pkg::MiscFunctionBits-1:0] kind, input logic [5:0] index
  );
    if (kind == cosyn_pkg::FunctionExp) segment = cosyn_tables_pkg::exp_segment(index);
    else if (kind == cosyn_pkg::FunctionReciprocal) segment = cosyn_tables_pkg::reciprocal_segment(index);
    else segment = cosyn_tables_pkg::rsqrt_segment(index);
  endfunction

  // c2 t / 2^17 and inner t / 2^17, rounded down; one DSP each.
  function automatic logic signed [C2:0] square_term(input logic signed [C2-1:0] c2, input logic [T-1:0] t);
    logic signed [C2+T:0] full_product;
    full_product = $signed({{(T + 1) {c2[C2-1]}}, c2}) * $signed({{(C2 + 1) {1'b0}}, t});
    square_term = (C2 + 1)'(full_product >>> T);
  endfunction

  function automatic logic signed [C1:0] linear_term(input logic signed [C1-1:0] inner, input logic [T-1:0] t);
    logic signed [C1+T:0] full_product;
    full_product = $signed({{(T + 1) {inner[C1-1]}}, inner}) * $signed({{(C1 + 1) {1'b0}}, t});
    linear_term = (C1 + 1)'(full_product >>> T);
  endfunction

  function automatic logic [31:0] finish(
      input logic [32:0] note, input logic [C0-1:0] c0, input logic signed [C1:0] linear
  );
    logic [C0-1:0] value;
    logic signed [10:0] exponent;
    value = c0 + {{(C0 - C1 - 1) {linear[C1]}}, linear} + C0'(4);
    exponent = $signed(note[10:0]) + $signed({10'd0, value[C0-1]});
    if (note[32]) finish = note[31:0];
    else if (exponent <= 11'sd0) finish = 32'd0;
    else if (exponent >= 11'sd255) finish = {note[11], MaxFinite[30:0]};
    else finish = {note[11], exponent[7:0], value[25:3]};
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      x1_q <= read(a_i);
      x2_q <= x1_q;
      x3_q <= x2_q;
      {index4_q, t4_q, note4_q} <= prepare(function_i, x3_q, magnitude3_q);
      note5_q <= note4_q;
      note6_q <= note5_q;
      note7_q <= note6_q;
      note8_q <= note7_q;
      y_o <= finish(note8_q, c0_8_q, linear8_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (en_i && is_exp) begin
      low2_q <= (LogBits + 17)'(cosyn_tables_pkg::Log2E[LogBits-1:0]) * (LogBits + 17)'(x1_q[16:0]);
      high2_q <= (LogBits + 7)'(cosyn_tables_pkg::Log2E[LogBits-1:0]) * (LogBits + 7)'({1'b1, x1_q[22:17]});
      magnitude3_q <= exp_argument(x2_q[30:0], low2_q, high2_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (en_i && uses_table) begin
      {c2_5_q, c1_5_q, c0_5_q} <= segment(function_i, index4_q);
      t5_q <= t4_q;
      square6_q <= square_term(c2_5_q, t5_q);
      {c1_6_q, c0_6_q, t6_q} <= {c1_5_q, c0_5_q, t5_q};
      inner7_q <= c1_6_q + {{(C1 - C2 - 1) {square6_q[C2]}}, square6_q};
      {c0_7_q, t7_q} <= {c0_6_q, t6_q};
      linear8_q <= linear_term(inner7_q, t7_q);
      c0_8_q <= c0_7_q;
    end
  end

`ifndef SYNTHESIS
  initial begin
    if (cosyn_tables_pkg::Log2E[LogBits+1:LogBits] != 2'b10) $fatal(1, "%m: log2(e) must have the form 1.0xx");
    if (C0 != 28 || T != 17) $fatal(1, "%m: rounding expects 26 fraction bits and 17-bit offsets");
  end
`endif
endmodule
