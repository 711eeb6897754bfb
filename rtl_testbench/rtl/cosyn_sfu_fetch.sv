// SPDX-License-Identifier: Apache-2.0
// Reads the operands of a pass through one port of the vector buffer, one read per cycle: at the start of a row its
// row words (b, c, d), then for every line its vectors (a, b, c, d). From the cycle after `load_i` on it never pauses,
// except that ends of rows are `Lanes` cycles apart when rows are reduced, that `gap_i` leaves the first cycle of
// every row free, and that it waits while too many lines or row results are on their way to the vector buffer.
// Two cycles after a read, when its data is there, `arrive_*` says what it is.
module cosyn_sfu_fetch #(
    parameter int LineCredits = 32,
    parameter int RowCredits  = 16
) (
    input  logic                                    clk_i,
    input  logic                                    rst_i,
    input  logic                                    load_i,
    // The whole instruction; other parts of the unit use the other fields.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [   cosyn_pkg::InstructionBits-1:0] inst_i,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [                            15:0] lines_i,        // per row
    input  logic                                    gap_i,
    input  logic                                    reduces_i,
    input  logic                                    writes_lines_i,
    input  logic                                    line_written_i,
    input  logic                                    row_written_i,
    output logic                                    r0_en_o,
    output logic [ cosyn_pkg::VectorAddressBits-1:0] r0_addr_o,
    output logic                                    outside_o,      // a read beyond the buffer
    output logic [                             3:0] arrive_line_o,  // a, b, c, d from bit 0
    output logic [                             2:0] arrive_word_o,  // b, c, d from bit 0
    output logic [           cosyn_pkg::LaneBits-1:0] arrive_lane_o,
    output logic                                    arrive_last_o   // the line's operands are complete
);
  localparam int LaneBits = cosyn_pkg::LaneBits;
  localparam int LineCreditBits = $clog2(LineCredits + 1);
  localparam int RowCreditBits = $clog2(RowCredits + 1);

  logic b_row, c_row, d_row, b_vector, c_vector, d_vector;
  assign b_row = inst_i[cosyn_pkg::MiscBKindLow+:cosyn_pkg::MiscBKindBits] == cosyn_pkg::OperandRow;
  assign c_row = inst_i[cosyn_pkg::MiscCKindLow+:cosyn_pkg::MiscCKindBits] == cosyn_pkg::OperandRow;
  assign d_row = inst_i[cosyn_pkg::MiscDKindLow+:cosyn_pkg::MiscDKindBits] == cosyn_pkg::OperandRow;
  assign b_vector = inst_i[cosyn_pkg::MiscBKindLow+:cosyn_pkg::MiscBKindBits] == cosyn_pkg::OperandVector;
  assign c_vector = inst_i[cosyn_pkg::MiscCKindLow+:cosyn_pkg::MiscCKindBits] == cosyn_pkg::OperandVector;
  assign d_vector = inst_i[cosyn_pkg::MiscDKindLow+:cosyn_pkg::MiscDKindBits] == cosyn_pkg::OperandVector;

  // What is still to be read of the row's start and of the line; the lowest bit is next.
  logic [7:0] row_slots, line_slots, todo_q, rest, pick;
  assign row_slots = {d_vector, c_vector, b_vector, 1'b1, d_row, c_row, b_row, gap_i};
  assign line_slots = {row_slots[7:4], 4'd0};
  assign rest = todo_q & (todo_q - 8'd1);
  assign pick = todo_q & ~rest;

  logic active_q, line_end, row_end, may_end, go;
  logic [15:0] lines_left_q;
  logic [cosyn_pkg::MiscRowsBits-1:0] rows_left_q;
  logic [LaneBits-1:0] spacing_q;
  logic [LineCreditBits-1:0] open_lines_q;
  logic [RowCreditBits-1:0] open_rows_q;

  assign line_end = rest == 8'd0;
  assign row_end = line_end && lines_left_q == 16'd1;
  assign may_end = (!writes_lines_i || open_lines_q != LineCreditBits'(LineCredits)) &&
      (!reduces_i || !row_end || (spacing_q == '0 && open_rows_q != RowCreditBits'(RowCredits)));
  assign go = active_q && (!line_end || may_end);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
    end else if (load_i) begin
      active_q <= 1'b1;
      todo_q <= row_slots;
      lines_left_q <= lines_i;
      rows_left_q <= inst_i[cosyn_pkg::MiscRowsLow+:cosyn_pkg::MiscRowsBits];
    end else if (go) begin
      todo_q <= row_end ? row_slots : line_end ? line_slots : rest;
      if (line_end) lines_left_q <= row_end ? lines_i : lines_left_q - 16'd1;
      if (row_end) begin
        rows_left_q <= rows_left_q - 1'b1;
        active_q <= rows_left_q != cosyn_pkg::MiscRowsBits'(1);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i || load_i) begin
      spacing_q <= '0;
      open_lines_q <= '0;
      open_rows_q <= '0;
    end else begin
      if (go && row_end) spacing_q <= LaneBits'(cosyn_pkg::Lanes - 1);
      else if (spacing_q != '0) spacing_q <= spacing_q - 1'b1;
      open_lines_q <= open_lines_q + LineCreditBits'(go && line_end && writes_lines_i) - LineCreditBits'(line_written_i);
      open_rows_q <= open_rows_q + RowCreditBits'(go && row_end && reduces_i) - RowCreditBits'(row_written_i);
    end
  end

  logic [24:0] a_address, b_address, c_address, d_address;

  cosyn_sfu_address u_a (
      .clk_i    (clk_i),
      .load_i   (load_i),
      .first_i  (24'(inst_i[cosyn_pkg::MiscALow+:cosyn_pkg::MiscABits])),
      .stride_i (inst_i[cosyn_pkg::MiscAStrideLow+:cosyn_pkg::MiscAStrideBits]),
      .words_i  (1'b0),
      .step_i   (go && pick[4]),
      .row_end_i(go && row_end),
      .advance_i(1'b1),
      .address_o(a_address)
  );

  cosyn_sfu_address u_b (
      .clk_i    (clk_i),
      .load_i   (load_i),
      .first_i  (inst_i[cosyn_pkg::MiscBLow+:cosyn_pkg::MiscBBits]),
      .stride_i (inst_i[cosyn_pkg::MiscBStrideLow+:cosyn_pkg::MiscBStrideBits]),
      .words_i  (b_row),
      .step_i   (go && (pick[1] || pick[5])),
      .row_end_i(go && row_end),
      .advance_i(1'b1),
      .address_o(b_address)
  );

  cosyn_sfu_address u_c (
      .clk_i    (clk_i),
      .load_i   (load_i),
      .first_i  (inst_i[cosyn_pkg::MiscCLow+:cosyn_pkg::MiscCBits]),
      .stride_i (inst_i[cosyn_pkg::MiscCStrideLow+:cosyn_pkg::MiscCStrideBits]),
      .words_i  (c_row),
      .step_i   (go && (pick[2] || pick[6])),
      .row_end_i(go && row_end),
      .advance_i(1'b1),
      .address_o(c_address)
  );

  cosyn_sfu_address u_d (
      .clk_i    (clk_i),
      .load_i   (load_i),
      .first_i  (inst_i[cosyn_pkg::MiscDLow+:cosyn_pkg::MiscDBits]),
      .stride_i (inst_i[cosyn_pkg::MiscDStrideLow+:cosyn_pkg::MiscDStrideBits]),
      .words_i  (d_row),
      .step_i   (go && (pick[3] || pick[7])),
      .row_end_i(go && row_end),
      .advance_i(1'b1),
      .address_o(d_address)
  );

  logic [24:0] word_address, line_address;
  assign word_address = pick[1] ? b_address : pick[2] ? c_address : d_address;
  always_comb begin
    line_address = {{LaneBits{1'b0}}, word_address[24:LaneBits]};
    if (pick[4]) line_address = a_address;
    if (pick[5]) line_address = b_address;
    if (pick[6]) line_address = c_address;
    if (pick[7]) line_address = d_address;
  end

  logic reads, inside_buffer;
  assign reads     = go && !pick[0];
  assign inside_buffer = line_address < 25'(cosyn_pkg::VectorLines);
  assign r0_en_o   = reads && inside_buffer;
  assign r0_addr_o = line_address[cosyn_pkg::VectorAddressBits-1:0];
  assign outside_o = reads && !inside_buffer;

  logic [3:0] line1_q, line2_q;
  logic [2:0] word1_q, word2_q;
  logic [LaneBits-1:0] lane1_q, lane2_q;
  logic last1_q, last2_q;

  always_ff @(posedge clk_i) begin
    line1_q <= go && !rst_i ? pick[7:4] : 4'd0;
    word1_q <= go && !rst_i ? pick[3:1] : 3'd0;
    last1_q <= go && !rst_i && line_end;
    lane1_q <= word_address[LaneBits-1:0];
    line2_q <= line1_q;
    word2_q <= word1_q;
    last2_q <= last1_q;
    lane2_q <= lane1_q;
  end

  assign arrive_line_o = line2_q;
  assign arrive_word_o = word2_q;
  assign arrive_last_o = last2_q;
  assign arrive_lane_o = lane2_q;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert (!(load_i && active_q)) else $error("%m: a pass began before the reads of the last one were over");
      if (active_q) assert (todo_q != 8'd0) else $error("%m: no read is left in an unfinished line");
      if (line_written_i) assert (open_lines_q != '0) else $error("%m: a line was written that was never read");
      if (row_written_i) assert (open_rows_q != '0) else $error("%m: a row result was written that was never begun");
    end
  end
`endif
endmodule
