// SPDX-License-Identifier: Apache-2.0
// The fields of an MM or MV instruction with registers in place, registered by `decode_i`, and whether they make sense.
// `line_o`, the first activation line of the first token group, is there a cycle after the others.
module cosyn_matrix_decode (
    input  logic         clk_i,
    input  logic         decode_i,
    input  logic         mm_i,
    input  logic [511:0] inst_i,
    input  logic [cosyn_pkg::Registers*32-1:0] registers_i,
    output logic         ring_o,
    output logic [  1:0] bits_o,
    output logic [  1:0] kept_o,
    output logic [ 11:0] group_steps_o,
    output logic [ 15:0] steps_o,
    output logic [ 15:0] tiles_o,
    output logic [  9:0] rows_o,
    output logic [  9:0] passes_o,
    output logic [  7:0] bank_o,
    output logic [ 16:0] line_o,
    output logic [ 11:0] row_lines_o,
    output logic [ 19:0] column_scale_o,
    output logic         column_scaled_o,
    output logic [ 23:0] token_scale_o,
    output logic         token_scaled_o,
    output logic [ 19:0] destination_o,
    output logic [ 19:0] destination_stride_o,
    output logic         illegal_o
);
  localparam int GroupShift = $clog2(cosyn_pkg::TokenGroup);

  logic [15:0] steps, tiles, activation_line;
  logic [cosyn_pkg::BankRegisters*32-1:0] registers;  // of the instruction's bank
  logic [31:0] steps_register, tiles_register;
  logic [3:0] steps_reg, tiles_reg;
  logic [9:0] row, rows;
  logic [9:0] group;
  logic wide_q, row_q;
  logic [15:0] first_line_q;
  logic [21:0] low_q, high_q;  // partial products of group x row_lines
  logic [21:0] line_sum;

  // MM and MV have the same layout; the generated package says so for both.
  assign steps_reg       = inst_i[cosyn_pkg::MvStepsRegLow+:4];
  assign tiles_reg       = inst_i[cosyn_pkg::MvTilesRegLow+:4];
  assign registers       = registers_i[
      inst_i[cosyn_pkg::MvBankLow+:cosyn_pkg::MvBankBits]*cosyn_pkg::BankRegisters*32+:cosyn_pkg::BankRegisters*32];
  assign steps_register  = registers[{steps_reg, 5'd0}+:32];
  assign tiles_register  = registers[{tiles_reg, 5'd0}+:32];
  assign steps           = steps_reg == '0 ? inst_i[cosyn_pkg::MvStepsLow+:16] : steps_register[15:0];
  assign tiles           = tiles_reg == '0 ? inst_i[cosyn_pkg::MvTilesLow+:16] : tiles_register[15:0];
  assign rows            = inst_i[cosyn_pkg::MvRowsLow+:10];
  assign row             = inst_i[cosyn_pkg::MvRowLow+:10];
  assign group           = row >> GroupShift;
  assign activation_line = inst_i[cosyn_pkg::MvActivationLineLow+:16];

  // a x b without a DSP: `a` has five bits.
  function automatic logic [21:0] times(input logic [4:0] a, input logic [11:0] b);
    times = ((a[0] ? 22'(b) : 22'd0) + (a[1] ? 22'(b) << 1 : 22'd0))
          + ((a[2] ? 22'(b) << 2 : 22'd0) + (a[3] ? 22'(b) << 3 : 22'd0)) + (a[4] ? 22'(b) << 4 : 22'd0);
  endfunction

  always_ff @(posedge clk_i) begin
    if (decode_i) begin
      ring_o               <= inst_i[cosyn_pkg::MvRingLow];
      bits_o               <= inst_i[cosyn_pkg::MvBitsLow+:2];
      kept_o               <= inst_i[cosyn_pkg::MvKeptLow+:2];
      group_steps_o        <= inst_i[cosyn_pkg::MvGroupStepsLow+:12];
      steps_o              <= steps;
      tiles_o              <= tiles;
      rows_o               <= rows;
      passes_o             <= 10'((11'(rows) + 11'(cosyn_pkg::TokenGroup - 1)) >> GroupShift);
      bank_o               <= 8'(row) & 8'(cosyn_pkg::TokenGroup - 1);
      row_lines_o          <= inst_i[cosyn_pkg::MvRowLinesLow+:12];
      column_scale_o       <= inst_i[cosyn_pkg::MvColumnScaleLow+:20];
      column_scaled_o      <= inst_i[cosyn_pkg::MvColumnScaledLow];
      token_scale_o        <= inst_i[cosyn_pkg::MvTokenScaleLow+:24];
      token_scaled_o       <= inst_i[cosyn_pkg::MvTokenScaledLow];
      destination_o        <= inst_i[cosyn_pkg::MvDestinationLow+:20];
      destination_stride_o <= inst_i[cosyn_pkg::MvDestinationStrideLow+:20];
      wide_q               <= (steps_reg != '0 && |steps_register[31:16]) || (tiles_reg != '0 && |tiles_register[31:16]);
      row_q                <= |(8'(row) & 8'(cosyn_pkg::TokenGroup - 1));
      first_line_q         <= activation_line;
      low_q                <= times(group[4:0], inst_i[cosyn_pkg::MvRowLinesLow+:12]);
      high_q               <= times(group[9:5], inst_i[cosyn_pkg::MvRowLinesLow+:12]);
    end
    line_o <= |line_sum[21:16] ? 17'h10000 : line_sum[16:0];
  end

  assign line_sum = {6'd0, first_line_q} + low_q + (high_q << 5);

  // Steps that cannot be taken apart: 4 with 3 bits, 2 with 2 bits or sparse.
  logic sparse, b8, b3, b2, whole_units;
  assign sparse = kept_o != cosyn_pkg::KeptDense;
  assign b8     = bits_o == cosyn_pkg::WeightBitsB8;
  assign b3     = bits_o == cosyn_pkg::WeightBitsB3;
  assign b2     = bits_o == cosyn_pkg::WeightBitsB2;
  assign whole_units = b3 ? steps_o[1:0] == '0 : b2 || sparse ? !steps_o[0] : 1'b1;
  assign illegal_o = wide_q || steps_o == '0 || tiles_o == '0 || rows_o == '0 || !whole_units
                  || (sparse && (b3 || cosyn_pkg::HasSparsity == 0)) || (b8 && group_steps_o != '0)
                  || (mm_i ? row_q : rows_o != 10'd1);
endmodule
