// SPDX-License-Identifier: Apache-2.0
// a + b in closed float32 (accelerator_model/numerics/float32.py), rounded once to nearest even.
// Latency 4 enabled cycles, one sum per cycle; `en_i` low freezes all stages. Stages: order by magnitude,
// align and add, normalise, round. The sum of the cycle may go back to an operand in the same cycle.
module cosyn_fp_add_gated (
    input  logic        clk_i,
    input  logic        en_i,
    input  logic [31:0] a_i,
    input  logic [31:0] b_i,
    output logic [31:0] y_o
);
  // Three bits below the last place: guard, round, sticky.
  localparam int SumBits = 28;

  logic sign1_q, sign2_q, sign3_q, minus1_q;
  logic [7:0] exponent1_q, exponent2_q, exponent3_q;
  logic [4:0] shift1_q, zeros3_q;
  logic [23:0] high1_q, low1_q;
  logic [SumBits-1:0] sum2_q, sum3_q;

  // An operand as it is read: exponent 255 is the largest finite number, exponent 0 is zero.
  function automatic logic [30:0] read(input logic [30:0] x);
    if (&x[30:23]) read = 31'h7F7FFFFF;
    else if (x[30:23] == 8'd0) read = 31'd0;
    else read = x;
  endfunction

  // {sign, minus, shift, exponent, high, low}
  function automatic logic [62:0] order(input logic [31:0] a, input logic [31:0] b);
    logic [30:0] x, y, high, low;
    logic swap;
    logic [7:0] difference;
    x = read(a[30:0]);
    y = read(b[30:0]);
    swap = y > x;
    high = swap ? y : x;
    low = swap ? x : y;
    difference = high[30:23] - low[30:23];
    order = {
      swap ? b[31] : a[31],
      a[31] ^ b[31],
      difference > 8'd27 ? 5'd27 : difference[4:0],
      high[30:23],
      |high[30:23],
      high[22:0],
      |low[30:23],
      low[22:0]
    };
  endfunction

  function automatic logic [SumBits-1:0] align_add(
      input logic minus, input logic [4:0] shift, input logic [23:0] high, input logic [23:0] low
  );
    logic [53:0] wide;
    logic [SumBits-1:0] aligned;
    wide = {low, 30'd0} >> shift;
    // What is shifted out stays as the last bit (sticky), which is all that rounding needs of it.
    aligned = {1'b0, wide[53:28], |wide[27:0]};
    align_add = minus ? {1'b0, high, 3'd0} - aligned : {1'b0, high, 3'd0} + aligned;
  endfunction

  // {number of leading zeros, the sum without them}
  function automatic logic [SumBits+4:0] normalise(input logic [SumBits-1:0] raw_sum);
    logic [SumBits-1:0] x;
    logic [4:0] zeros;
    x = raw_sum;
    zeros = 5'd0;
    if (x[27:12] == 16'd0) begin
      zeros[4] = 1'b1;
      x = {x[11:0], 16'd0};
    end
    if (x[27:20] == 8'd0) begin
      zeros[3] = 1'b1;
      x = {x[19:0], 8'd0};
    end
    if (x[27:24] == 4'd0) begin
      zeros[2] = 1'b1;
      x = {x[23:0], 4'd0};
    end
    if (x[27:26] == 2'd0) begin
      zeros[1] = 1'b1;
      x = {x[25:0], 2'd0};
    end
    if (!x[27]) begin
      zeros[0] = 1'b1;
      x = {x[26:0], 1'd0};
    end
    normalise = {zeros, x};
  endfunction

  function automatic logic [31:0] round(
      input logic sign, input logic signed [9:0] exponent, input logic [SumBits-1:0] raw_sum
  );
    logic [23:0] rounded;  // fraction and its carry
    logic signed [9:0] carried;
    rounded = {1'b0, raw_sum[26:4]} + {23'd0, raw_sum[3] & (|raw_sum[2:0] | raw_sum[4])};
    carried = exponent + $signed({9'd0, rounded[23]});
    // A sum below 2^-126 is exact, so rounding cannot have lifted it.
    if (!raw_sum[27] || carried <= 10'sd0) round = 32'd0;
    else if (carried >= 10'sd255) round = {sign, 31'h7F7FFFFF};
    else round = {sign, carried[7:0], rounded[22:0]};
  endfunction

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      {sign1_q, minus1_q, shift1_q, exponent1_q, high1_q, low1_q} <= order(a_i, b_i);
      sign2_q <= sign1_q;
      exponent2_q <= exponent1_q;
      sum2_q <= align_add(minus1_q, shift1_q, high1_q, low1_q);
      sign3_q <= sign2_q;
      {zeros3_q, sum3_q} <= normalise(sum2_q);
      exponent3_q <= exponent2_q;
      y_o <= round(sign3_q, $signed({2'b00, exponent3_q} + 10'd1 - 10'(zeros3_q)), sum3_q);
    end
  end
endmodule
