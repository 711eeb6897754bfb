// SPDX-License-Identifier: Apache-2.0
// Says of the line that a pass works on which lanes count, and where in its row the line is. `step_i` moves on.
// The first line's answer is there two cycles after `load_i`.
module cosyn_sfu_mask (
    input  logic                                 clk_i,
    input  logic                                 load_i,
    input  logic [                         15:0] lines_i,    // per row
    input  logic                                 all_i,      // every column counts
    input  logic [                         31:0] valid_i,    // columns of row 0 that count
    input  logic                                 causal_i,   // one more in every row
    input  logic [cosyn_pkg::MiscWindowBits-1:0] window_i,   // of those only the last; 0: all
    input  logic [ cosyn_pkg::MiscSinksBits-1:0] sinks_i,    // and those below this one
    input  logic                                 step_i,
    output logic [         cosyn_pkg::Lanes-1:0] on_o,
    output logic [                          1:0] line_o,     // number of the line in its row, modulo 4
    output logic                                 opening_o,  // it is one of the first four
    output logic                                 first_o,
    output logic                                 last_o
);
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int CountBits = cosyn_pkg::LaneBits + 1;

  // Columns from the line's first one to the end and to the begin of what counts; negative when passed.
  logic signed [33:0] high_row_q, high_q, low_row_q, low_q;
  logic signed [33:0] high_next, low_next;
  // The same to the end of what a window does not hide; it ends where the row's columns do.
  logic signed [16:0] sinks_q;
  logic windowed, loading_q;
  logic [15:0] lines_left_q;
  logic [2:0] line_q;  // saturates at 4..7

  assign windowed  = window_i != '0 && !all_i;
  assign high_next = high_row_q + $signed({33'd0, causal_i && !all_i});
  assign low_next  = low_row_q + $signed({33'd0, causal_i && windowed});

  always_ff @(posedge clk_i) begin
    loading_q <= load_i;
    if (load_i) begin
      high_row_q <= all_i ? 34'sd65536 : $signed({2'd0, valid_i});
    end else if (loading_q) begin
      high_q <= high_row_q;
      low_row_q <= windowed ? high_row_q - $signed(34'(window_i)) : 34'sd0;
      low_q <= windowed ? high_row_q - $signed(34'(window_i)) : 34'sd0;
      sinks_q <= $signed({1'b0, sinks_i});
      lines_left_q <= lines_i;
      line_q <= 3'd0;
    end else if (step_i) begin
      if (last_o) begin
        high_row_q <= high_next;
        high_q <= high_next;
        low_row_q <= low_next;
        low_q <= low_next;
        sinks_q <= $signed({1'b0, sinks_i});
        lines_left_q <= lines_i;
        line_q <= 3'd0;
      end else begin
        high_q <= high_q - 34'(Lanes);
        low_q <= low_q - 34'(Lanes);
        // Below zero there is nothing more to count down to.
        if (!sinks_q[16]) sinks_q <= sinks_q - 17'(Lanes);
        lines_left_q <= lines_left_q - 16'd1;
        line_q <= {line_q[2] | (&line_q[1:0]), line_q[1:0] + 2'd1};
      end
    end
  end

  function automatic logic [CountBits-1:0] within_line(input logic signed [33:0] columns);
    if (columns <= 34'sd0) within_line = '0;
    else if (columns >= $signed(34'(Lanes))) within_line = CountBits'(Lanes);
    else within_line = columns[CountBits-1:0];
  endfunction

  logic [CountBits-1:0] begins, ends, sinks_end;
  assign begins = within_line(low_q);
  assign ends   = within_line(high_q);
  assign sinks_end = within_line(34'(sinks_q));
  always_comb begin
    for (int lane = 0; lane < Lanes; lane++) begin
      on_o[lane] = (CountBits'(lane) >= begins || CountBits'(lane) < sinks_end) && CountBits'(lane) < ends;
    end
  end

  assign line_o = line_q[1:0];
  assign opening_o = !line_q[2];
  assign first_o = line_q == 3'd0;
  assign last_o = lines_left_q == 16'd1;
endmodule
