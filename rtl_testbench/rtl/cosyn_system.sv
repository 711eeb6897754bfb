// SPDX-License-Identifier: Apache-2.0
// SYS of one core: NOTHING retires in the cycle after its accept; BARRIER and EXCHANGE go to the exchange between the
// cores and retire when it says so; DONE waits until everything else in the core is empty and idle.
module cosyn_system (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  input  logic                                  halt_i,
  input  logic                                  sys_valid_i,
  output logic                                  sys_ready_o,
  input  logic [cosyn_pkg::InstructionBits-1:0] sys_inst_i,
  output logic                                  sys_done_o,
  input  logic                                  others_idle_i,   // no other class holds an instruction
  output logic                                  finished_o,      // DONE has retired
  // to the exchange
  output logic                                  x_valid_o,
  output logic [cosyn_pkg::SysOperationBits-1:0] x_operation_o,
  output logic [cosyn_pkg::SysBaseBits-1:0]     x_base_o,
  output logic [cosyn_pkg::SysRowsBits-1:0]     x_rows_o,
  output logic [cosyn_pkg::SysRowStrideBits-1:0] x_stride_o,
  output logic [cosyn_pkg::SysLinesBits-1:0]    x_lines_o,
  input  logic                                  x_done_i
);
  logic busy_q, finished_q, shared, complete;
  logic [cosyn_pkg::SysOperationBits-1:0] operation_q;

  assign shared      = operation_q == cosyn_pkg::SystemOperationBarrier
      || operation_q == cosyn_pkg::SystemOperationExchange;
  assign x_valid_o   = busy_q && shared && !halt_i;
  assign sys_ready_o = !busy_q && !halt_i;
  assign complete    = busy_q && !halt_i
      && (shared ? x_done_i : (operation_q != cosyn_pkg::SystemOperationDone || others_idle_i));
  assign sys_done_o    = complete;
  assign finished_o    = finished_q;
  assign x_operation_o = operation_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      busy_q     <= 1'b0;
      finished_q <= 1'b0;
    end else begin
      if (sys_valid_i && sys_ready_o) busy_q <= 1'b1;
      else if (complete) busy_q <= 1'b0;
      if (complete && operation_q == cosyn_pkg::SystemOperationDone) finished_q <= 1'b1;
    end
    if (sys_valid_i && sys_ready_o) begin
      operation_q <= sys_inst_i[cosyn_pkg::SysOperationLow +: cosyn_pkg::SysOperationBits];
      x_base_o    <= sys_inst_i[cosyn_pkg::SysBaseLow +: cosyn_pkg::SysBaseBits];
      x_rows_o    <= sys_inst_i[cosyn_pkg::SysRowsLow +: cosyn_pkg::SysRowsBits];
      x_stride_o  <= sys_inst_i[cosyn_pkg::SysRowStrideLow +: cosyn_pkg::SysRowStrideBits];
      x_lines_o   <= sys_inst_i[cosyn_pkg::SysLinesLow +: cosyn_pkg::SysLinesBits];
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i && !halt_i) assert (!x_done_i || x_valid_o) else $error("%m: the exchange ended what was not asked for");
  end
`endif
endmodule
