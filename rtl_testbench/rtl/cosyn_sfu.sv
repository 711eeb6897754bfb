// SPDX-License-Identifier: Apache-2.0
// The special-function unit: one MISC instruction at a time, a pass y = F(a b + c) d over rows of the vector buffer
// with an optional reduction of every row. A line per cycle where only a is a vector, else one per vector operand.
// Cycles from accept to done: see rtl_testbench/sfu/README.md. Nothing toggles in the lanes while it is idle.
module cosyn_sfu (
    input  logic                                   clk_i,
    input  logic                                   rst_i,
    input  logic [   cosyn_pkg::Registers*32-1:0] registers_i,
    // Instructions.
    input  logic                                   misc_valid_i,
    output logic                                   misc_ready_o,
    input  logic [ cosyn_pkg::InstructionBits-1:0] misc_inst_i,
    output logic                                   misc_done_o,
    output logic [                           31:0] misc_digest_o,
    // Vector buffer: reads, data two cycles later.
    output logic                                   r0_en_o,
    output logic [cosyn_pkg::VectorAddressBits-1:0] r0_addr_o,
    input  logic [     cosyn_pkg::LineBytes*8-1:0] r0_data_i,
    // Vector buffer: writes.
    output logic                                   vw_req_o,
    output logic [cosyn_pkg::VectorAddressBits-1:0] vw_addr_o,
    output logic [     cosyn_pkg::LineBytes*8-1:0] vw_data_o,
    output logic [           cosyn_pkg::Lanes-1:0] vw_mask_o,
    input  logic                                   vw_gnt_i,
    // Activation buffer: writes, always taken.
    output logic                                   act_we_o,
    output logic [                            7:0] act_bank_o,
    output logic [cosyn_pkg::ActivationAddressBits-1:0] act_addr_o,
    output logic [                           15:0] act_slot_o,
    output logic [         cosyn_pkg::Lanes*8-1:0] act_data_o,
    // A pass reaches beyond a buffer, or has no columns or rows; it still retires.
    output logic                                   error_o,
    output logic [                            7:0] error_code_o
);
  localparam int Lanes = cosyn_pkg::Lanes;
  localparam int LaneBits = cosyn_pkg::LaneBits;
  localparam int LineBits = cosyn_pkg::LineBytes * 8;
  // Enabled cycles from a line's operands to its y, and to the result of F.
  localparam int LaneCycles = 19;
  localparam int ScaleCycles = 16;

  localparam bit [1:0] Idle = 2'd0;
  localparam bit [1:0] Decode = 2'd1;
  localparam bit [1:0] Run = 2'd2;

  logic [1:0] state_q;
  logic [cosyn_pkg::InstructionBits-1:0] inst_q;
  logic busy, load, finished, illegal, begins;

  // -- Instruction ------------------------------------------------------------------------------------------------
  logic [3:0] columns_reg, valid_reg;
  logic [cosyn_pkg::BankRegisters*32-1:0] registers;  // of the instruction's bank
  logic [31:0] columns, valid;
  logic [15:0] lines, lines_q;
  logic [2:0] kind_b, kind_c, kind_d;
  logic reduces, writes_lines, all_columns, gap;

  assign registers = registers_i[
      inst_q[cosyn_pkg::MiscBankLow+:cosyn_pkg::MiscBankBits]*cosyn_pkg::BankRegisters*32+:cosyn_pkg::BankRegisters*32];
  assign columns_reg = inst_q[cosyn_pkg::MiscColumnsRegLow+:4];
  assign valid_reg = inst_q[cosyn_pkg::MiscValidRegLow+:4];
  assign columns = columns_reg == cosyn_pkg::RegZero ?
      32'(inst_q[cosyn_pkg::MiscColumnsLow+:cosyn_pkg::MiscColumnsBits]) : registers[columns_reg*32+:32];
  assign valid = valid_reg == cosyn_pkg::RegZero ?
      32'(inst_q[cosyn_pkg::MiscValidLow+:cosyn_pkg::MiscValidBits]) : registers[valid_reg*32+:32];
  assign lines = columns[LaneBits+:16];
  assign all_columns = valid == 32'd0 && valid_reg == cosyn_pkg::RegZero;
  assign kind_b = inst_q[cosyn_pkg::MiscBKindLow+:3];
  assign kind_c = inst_q[cosyn_pkg::MiscCKindLow+:3];
  assign kind_d = inst_q[cosyn_pkg::MiscDKindLow+:3];
  assign reduces = inst_q[cosyn_pkg::MiscReductionLow+:cosyn_pkg::MiscReductionBits] != cosyn_pkg::ReductionNone;
  assign writes_lines = inst_q[cosyn_pkg::MiscOutputLow+:cosyn_pkg::MiscOutputBits] == cosyn_pkg::OutputVector;
  // A row that is read at one line per cycle and written whole needs a cycle more for the write of its reduction.
  assign gap = reduces && writes_lines && !(kind_b == cosyn_pkg::OperandVector || kind_b == cosyn_pkg::OperandRow ||
      kind_c == cosyn_pkg::OperandVector || kind_c == cosyn_pkg::OperandRow ||
      kind_d == cosyn_pkg::OperandVector || kind_d == cosyn_pkg::OperandRow);
  assign illegal = columns == 32'd0 || columns[31:LaneBits] >= (32 - LaneBits)'(1 << 16) ||
      (LaneBits > 0 && columns[LaneBits-1:0] != '0) ||
      inst_q[cosyn_pkg::MiscRowsLow+:cosyn_pkg::MiscRowsBits] == '0;

  assign busy = state_q != Idle;
  assign begins = misc_valid_i && misc_ready_o;
  assign load = state_q == Decode && !illegal;
  assign misc_ready_o = state_q == Idle;

  logic done_q, refused_q;
  logic [31:0] digest;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Idle;
      done_q <= 1'b0;
      refused_q <= 1'b0;
    end else begin
      done_q <= 1'b0;
      refused_q <= 1'b0;
      case (state_q)
        Idle: if (begins) state_q <= Decode;
        Decode: begin
          state_q <= illegal ? Idle : Run;
          done_q <= illegal;
          refused_q <= illegal;
        end
        default:
        if (finished) begin
          state_q <= Idle;
          done_q  <= 1'b1;
        end
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (begins) inst_q <= misc_inst_i;
    if (load) lines_q <= lines;
  end

  assign misc_done_o = done_q;
  assign misc_digest_o = refused_q ? 32'd0 : digest;

  // -- Operands ---------------------------------------------------------------------------------------------------
  logic [3:0] arrive_line;
  logic [2:0] arrive_word;
  logic [LaneBits-1:0] arrive_lane;
  logic arrive_last, read_outside, line_written, row_written;

  cosyn_sfu_fetch u_fetch (
      .clk_i         (clk_i),
      .rst_i         (rst_i),
      .load_i        (load),
      .inst_i        (inst_q),
      .lines_i       (load ? lines : lines_q),
      .gap_i         (gap),
      .reduces_i     (reduces),
      .writes_lines_i(writes_lines),
      .line_written_i(line_written),
      .row_written_i (row_written),
      .r0_en_o       (r0_en_o),
      .r0_addr_o     (r0_addr_o),
      .outside_o     (read_outside),
      .arrive_line_o (arrive_line),
      .arrive_word_o (arrive_word),
      .arrive_lane_o (arrive_lane),
      .arrive_last_o (arrive_last)
  );

  logic [31:0] word;
  logic [LineBits-1:0] a_q, b, c, d, d_late, y_raw, y;
  assign word = r0_data_i[arrive_lane*32+:32];

  function automatic logic [31:0] constant(
      input logic [2:0] kind, input logic [31:0] immediate0, input logic [31:0] immediate1, input logic [31:0] absent
  );
    if (kind == cosyn_pkg::OperandImmediate0) constant = immediate0;
    else if (kind == cosyn_pkg::OperandImmediate1) constant = immediate1;
    else constant = absent;
  endfunction

  logic [31:0] immediate0, immediate1;
  assign immediate0 = inst_q[cosyn_pkg::MiscImmediate0Low+:32];
  assign immediate1 = inst_q[cosyn_pkg::MiscImmediate1Low+:32];

  always_ff @(posedge clk_i) begin
    if (arrive_line[0]) a_q <= r0_data_i;
  end

  cosyn_sfu_operand u_b (
      .clk_i       (clk_i),
      .load_i      (load),
      .initial_i   (constant(kind_b, immediate0, immediate1, 32'h3F800000)),
      .word_valid_i(arrive_word[0]),
      .word_i      (word),
      .line_valid_i(arrive_line[1]),
      .line_i      (r0_data_i),
      .value_o     (b)
  );

  cosyn_sfu_operand u_c (
      .clk_i       (clk_i),
      .load_i      (load),
      .initial_i   (constant(kind_c, immediate0, immediate1, 32'h00000000)),
      .word_valid_i(arrive_word[1]),
      .word_i      (word),
      .line_valid_i(arrive_line[2]),
      .line_i      (r0_data_i),
      .value_o     (c)
  );

  cosyn_sfu_operand u_d (
      .clk_i       (clk_i),
      .load_i      (load),
      .initial_i   (constant(kind_d, immediate0, immediate1, 32'h3F800000)),
      .word_valid_i(arrive_word[2]),
      .word_i      (word),
      .line_valid_i(arrive_line[3]),
      .line_i      (r0_data_i),
      .value_o     (d)
  );

  // -- Lanes ------------------------------------------------------------------------------------------------------
  logic [LaneCycles:0] line_q;  // lines in the lanes; bit 0: operands are there
  logic y_valid;

  always_ff @(posedge clk_i) begin
    if (rst_i) line_q <= '0;
    else if (busy) line_q <= {line_q[LaneCycles-1:0], arrive_last};
  end
  assign y_valid = line_q[LaneCycles];

  cosyn_delay_line #(
      .Width (LineBits),
      .Cycles(ScaleCycles)
  ) u_late (
      .clk_i (clk_i),
      .rst_i (rst_i),
      .en_i  (busy),
      .data_i(d),
      .data_o(d_late)
  );

  logic [Lanes-1:0] on;
  generate
    for (genvar i = 0; i < Lanes; i++) begin : g_lane
      cosyn_sfu_lane u_lane (
          .clk_i     (clk_i),
          .en_i      (busy),
          .function_i(inst_q[cosyn_pkg::MiscFunctionLow+:cosyn_pkg::MiscFunctionBits]),
          .negate_i  (inst_q[cosyn_pkg::MiscCNegateLow]),
          .a_i       (a_q[i*32+:32]),
          .b_i       (b[i*32+:32]),
          .c_i       (c[i*32+:32]),
          .d_i       (d_late[i*32+:32]),
          .y_o       (y_raw[i*32+:32])
      );
      assign y[i*32+:32] = on[i] ? y_raw[i*32+:32] : 32'd0;
    end
  endgenerate

  // -- Which lanes count, and where in its row the line is ----------------------------------------------------------
  logic [1:0] position;
  logic opening, first, last;

  cosyn_sfu_mask u_mask (
      .clk_i    (clk_i),
      .load_i   (load),
      .lines_i  (lines_q),
      .all_i    (all_columns),
      .valid_i  (valid),
      .causal_i (inst_q[cosyn_pkg::MiscCausalLow]),
      .window_i (inst_q[cosyn_pkg::MiscWindowLow+:cosyn_pkg::MiscWindowBits]),
      .sinks_i  (inst_q[cosyn_pkg::MiscSinksLow+:cosyn_pkg::MiscSinksBits]),
      .step_i   (y_valid),
      .on_o     (on),
      .line_o   (position),
      .opening_o(opening),
      .first_o  (first),
      .last_o   (last)
  );

  // -- Results ----------------------------------------------------------------------------------------------------
  logic result_valid, write_outside;
  logic [31:0] result;

  cosyn_sfu_reduce u_reduce (
      .clk_i      (clk_i),
      .rst_i      (rst_i),
      .en_i       (busy && reduces),
      .reduction_i(inst_q[cosyn_pkg::MiscReductionLow+:cosyn_pkg::MiscReductionBits]),
      .partials_i ({lines_q > 16'd3, lines_q > 16'd2, lines_q > 16'd1, 1'b1}),
      .valid_i    (y_valid),
      .line_i     (position),
      .opening_i  (opening),
      .first_i    (first),
      .last_i     (last),
      .on_i       (on),
      .y_i        (y),
      .valid_o    (result_valid),
      .result_o   (result)
  );

  cosyn_sfu_write u_write (
      .clk_i         (clk_i),
      .rst_i         (rst_i),
      .load_i        (load),
      .en_i          (busy),
      .inst_i        (inst_q),
      .lines_i       (load ? lines : lines_q),
      .valid_i       (y_valid && busy),
      .y_i           (y),
      .result_valid_i(result_valid && reduces && busy),
      .result_i      (result),
      .vw_req_o      (vw_req_o),
      .vw_addr_o     (vw_addr_o),
      .vw_data_o     (vw_data_o),
      .vw_mask_o     (vw_mask_o),
      .vw_gnt_i      (vw_gnt_i),
      .act_we_o      (act_we_o),
      .act_bank_o    (act_bank_o),
      .act_addr_o    (act_addr_o),
      .act_slot_o    (act_slot_o),
      .act_data_o    (act_data_o),
      .line_written_o(line_written),
      .row_written_o (row_written),
      .outside_o     (write_outside),
      .finished_o    (finished),
      .digest_o      (digest)
  );

  assign error_o = refused_q || read_outside || write_outside;
  assign error_code_o = refused_q ? cosyn_control_pkg::ErrorUnit : cosyn_control_pkg::ErrorAddressRange;

`ifndef SYNTHESIS
  logic waiting_q;
  logic [cosyn_pkg::InstructionBits-1:0] waiting_inst_q;
  always_ff @(posedge clk_i) begin
    waiting_q <= !rst_i && misc_valid_i && !misc_ready_o;
    waiting_inst_q <= misc_inst_i;
    if (!rst_i) begin
      if (waiting_q)
        assert (misc_valid_i && misc_inst_i === waiting_inst_q)
        else $error("%m: the instruction changed before it was accepted");
      if (result_valid && busy) assert (reduces) else $error("%m: a reduction that nobody asked for");
      if (vw_req_o || act_we_o) assert (busy) else $error("%m: a write while idle");
    end
  end
`endif
endmodule
