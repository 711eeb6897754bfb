// SPDX-License-Identifier: Apache-2.0
// Reduces rows of lines to one number each, in the order of accelerator_model/numerics/reduce.py. One line per cycle;
// ends of rows must be `Lanes` cycles apart. The result comes 16 + Lanes + 4 log2(Lanes) cycles after the row's last
// line for sums, 5 + Lanes for maxima. `reduction_i` may change only while nothing is in flight.
module cosyn_sfu_reduce (
    input  logic                                    clk_i,
    input  logic                                    rst_i,
    input  logic                                    en_i,
    input  logic [cosyn_pkg::MiscReductionBits-1:0] reduction_i,
    input  logic [                             3:0] partials_i,  // which of the four a row reaches
    input  logic                                    valid_i,
    input  logic [                             1:0] line_i,
    input  logic                                    opening_i,
    input  logic                                    first_i,
    input  logic                                    last_i,
    input  logic [            cosyn_pkg::Lanes-1:0] on_i,
    input  logic [      cosyn_pkg::LineBytes*8-1:0] y_i,
    output logic                                    valid_o,
    output logic [                            31:0] result_o
);
  localparam int Lanes = cosyn_pkg::Lanes;
  // Position of a line: {on, line, opening, first, last, valid}, three cycles after its y.
  localparam int NoteBits = Lanes + 6;

  logic square, absolute, maximum;
  assign square = reduction_i == cosyn_pkg::ReductionSumSquares;
  assign absolute = reduction_i == cosyn_pkg::ReductionAbsoluteMaximum;
  assign maximum = absolute || reduction_i == cosyn_pkg::ReductionMaximum;

  logic [NoteBits-1:0] note1_q, note2_q, note3_q;
  logic valid, first, opening, last;
  logic [1:0] line;
  logic [Lanes-1:0] on;

  always_ff @(posedge clk_i) begin
    if (rst_i) {note3_q, note2_q, note1_q} <= '0;
    else if (en_i) {note3_q, note2_q, note1_q} <= {note2_q, note1_q, on_i, line_i, opening_i, first_i, last_i, valid_i};
  end
  assign {on, line, opening, first, last, valid} = note3_q;

  // Lines in the adders: {line, valid}, the oldest in front; and row ends on their way out.
  logic [11:0] adding_q;
  logic [ 4:0] ending_q;
  logic sum_valid, forward, complete;
  logic [1:0] sum_line;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      adding_q <= '0;
      ending_q <= '0;
    end else if (en_i) begin
      adding_q <= {adding_q[8:0], line, valid && !maximum};
      ending_q <= {ending_q[3:0], valid && last};
    end
  end
  assign {sum_line, sum_valid} = adding_q[11:9];
  assign forward = sum_valid && sum_line == line;
  assign complete = maximum ? ending_q[0] : ending_q[4];

  logic [Lanes*128-1:0] partials, reached;

  generate
    for (genvar i = 0; i < Lanes; i++) begin : g_lane
      cosyn_sfu_reduce_lane u_lane (
          .clk_i      (clk_i),
          .en_i       (en_i),
          .square_i   (square),
          .maximum_i  (maximum),
          .absolute_i (absolute),
          .y_i        (y_i[i*32+:32]),
          .on_i       (on[i]),
          .valid_i    (valid),
          .line_i     (line),
          .opening_i  (opening),
          .first_i    (first),
          .forward_i  (forward),
          .sum_valid_i(sum_valid),
          .sum_line_i (sum_line),
          .partials_o (partials[i*128+:128])
      );
      assign reached[i*128+:128] = {
        {32{partials_i[3]}}, {32{partials_i[2]}}, {32{partials_i[1]}}, {32{partials_i[0]}}
      };
    end
  endgenerate

  cosyn_sfu_join u_join (
      .clk_i     (clk_i),
      .rst_i     (rst_i),
      .en_i      (en_i),
      .maximum_i (maximum),
      .valid_i   (complete),
      .partials_i(partials & reached),
      .valid_o   (valid_o),
      .result_o  (result_o)
  );
endmodule
