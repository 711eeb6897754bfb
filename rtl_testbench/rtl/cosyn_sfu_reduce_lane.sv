// SPDX-License-Identifier: Apache-2.0
// One lane of a reduction: four interleaved partial sums (of y or y squared), or the maximum (of y or |y|) in the
// first of them. y comes three cycles before its line's position; a sum's partial is complete five cycles after the
// position of its last line, a maximum one cycle after.
module cosyn_sfu_reduce_lane (
    input  logic         clk_i,
    input  logic         en_i,
    input  logic         square_i,
    input  logic         maximum_i,     // of y or |y|: no sum
    input  logic         absolute_i,
    input  logic [ 31:0] y_i,           // 0 where it does not count
    input  logic         on_i,          // it counts; three cycles after y
    input  logic         valid_i,       // position of the line, three cycles after y
    input  logic [  1:0] line_i,
    input  logic         opening_i,     // the partial's first line
    input  logic         first_i,       // the row's first line
    input  logic         forward_i,     // the partial's sum comes out of the adder in this cycle
    input  logic         sum_valid_i,   // a sum comes out of the adder, for partial sum_line_i
    input  logic [  1:0] sum_line_i,
    output logic [127:0] partials_o
);
  localparam bit [31:0] One = 32'h3F800000;
  localparam bit [31:0] Lowest = 32'hFF7FFFFF;

  logic [31:0] element, total, candidate, larger, base;
  logic [127:0] partials_q;

  // A plain sum takes the same path: times one.
  cosyn_fp_multiply_gated u_square (
      .clk_i(clk_i),
      .en_i (en_i),
      .a_i  (y_i),
      .b_i  (square_i ? y_i : One),
      .y_o  (element)
  );

  always_comb begin
    base = partials_q[line_i*32+:32];
    if (forward_i) base = total;
    if (opening_i) base = 32'd0;
  end

  cosyn_fp_add_gated u_sum (
      .clk_i(clk_i),
      .en_i (en_i && !maximum_i),
      .a_i  (base),
      .b_i  (element),
      .y_o  (total)
  );

  assign candidate = absolute_i ? {1'b0, element[30:0]} : on_i ? element : Lowest;

  cosyn_fp_max u_max (
      .a_i(partials_q[31:0]),
      .b_i(candidate),
      .y_o(larger)
  );

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      if (sum_valid_i) partials_q[sum_line_i*32+:32] <= total;
      if (maximum_i && valid_i) partials_q[31:0] <= first_i ? candidate : larger;
    end
  end

  assign partials_o = partials_q;
endmodule
