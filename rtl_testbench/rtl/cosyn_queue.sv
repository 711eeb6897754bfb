// SPDX-License-Identifier: Apache-2.0
// The in-order queue of one instruction class. The head goes to the unit when its tokens are there; its release mask
// waits until the unit retires it (units retire in order). An instruction can issue one cycle after it was pushed.
module cosyn_queue #(
  parameter int InFlight = 2   // instructions the unit may hold at once
) (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  input  logic                                  halt_i,           // issue nothing more than the unit has been offered
  input  logic                                  valid_i,
  output logic                                  ready_o,
  input  logic [cosyn_pkg::InstructionBits-1:0] inst_i,
  // tokens
  output logic [cosyn_pkg::MaskBits-1:0]        wait_o,           // of the head; zero when there is none
  input  logic                                  tokens_ready_i,
  output logic                                  issue_o,
  output logic [cosyn_pkg::MaskBits-1:0]        release_o,        // of the instruction that would retire next
  // unit
  output logic                                  unit_valid_o,
  input  logic                                  unit_ready_i,
  output logic [cosyn_pkg::InstructionBits-1:0] unit_inst_o,
  input  logic                                  unit_done_i,
  // state
  output logic                                  queued_o,         // holds an instruction that has not issued
  output logic                                  flight_o,         // the unit holds one
  output logic                                  waiting_o         // the head lacks a token
);
  localparam int QueueCountBits = $clog2(cosyn_pkg::QueueDepth + 1);
  localparam int FlightCountBits = $clog2(InFlight + 1);

  logic                                  head_valid, flight_ready, flight_valid;
  logic [cosyn_pkg::InstructionBits-1:0] head;
  logic [QueueCountBits-1:0]             unused_queue_count;
  logic [FlightCountBits-1:0]            unused_flight_count;
  logic                                  offered_q;        // valid stays until accepted, through a halt too

  cosyn_fifo #(.Width(cosyn_pkg::InstructionBits), .Depth(cosyn_pkg::QueueDepth)) u_queue (
    .clk_i, .rst_i,
    .valid_i, .ready_o, .data_i(inst_i),
    .valid_o(head_valid), .ready_i(issue_o), .data_o(head),
    .count_o(unused_queue_count)
  );

  assign wait_o       = head_valid ? head[cosyn_pkg::WaitLow +: cosyn_pkg::MaskBits] : '0;
  assign unit_valid_o = head_valid && tokens_ready_i && flight_ready && (!halt_i || offered_q);
  always_ff @(posedge clk_i) offered_q <= !rst_i && unit_valid_o && !unit_ready_i;
  assign unit_inst_o  = head;
  assign issue_o      = unit_valid_o && unit_ready_i;

  cosyn_fifo #(.Width(cosyn_pkg::MaskBits), .Depth(InFlight)) u_flight (
    .clk_i, .rst_i,
    .valid_i(issue_o), .ready_o(flight_ready), .data_i(head[cosyn_pkg::ReleaseLow +: cosyn_pkg::MaskBits]),
    .valid_o(flight_valid), .ready_i(unit_done_i), .data_o(release_o),
    .count_o(unused_flight_count)
  );

  assign queued_o  = head_valid;
  assign flight_o  = flight_valid;
  assign waiting_o = head_valid && !tokens_ready_i;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (!rst_i) begin
      assert (!unit_done_i || flight_valid) else $error("%m: a retirement without an instruction in flight");
    end
  end
`endif
endmodule
