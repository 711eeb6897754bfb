// SPDX-License-Identifier: Apache-2.0
// The counters of one core, and its watchdog: a core that is busy and retires nothing for WatchdogCycles is reported
// with the class that holds it up. Counters clear on reset (every start resets the core) and stop when it has finished.
// counters_o holds 32-bit words in the order of CoreRegister, from RETIRED on.
module cosyn_monitor (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic        running_i,        // started and not finished
  input  logic        halt_i,
  input  logic [5:0]  retire_i,
  input  logic [5:0]  flight_i,
  input  logic [5:0]  queued_i,
  input  logic [5:0]  waiting_i,
  input  logic        array_active_i,
  input  logic        ring_empty_i,
  input  logic        ring_full_i,
  input  logic        drain_stall_i,
  input  logic [7:0]  read_beats_i,     // beats moved in this cycle
  input  logic [7:0]  write_beats_i,
  input  logic        instruction_beat_i,
  input  logic        meeting_wait_i,   // SYS waits for other cores
  output logic [26*32-1:0] counters_o,
  output logic        error_o,
  output logic [3:0]  error_class_o,
  output logic [31:0] error_detail_o
);
  localparam int Count = 26;
  logic [Count*8-1:0]  step;
  logic [Count*32-1:0] count_q;

  always_comb begin
    step = '0;
    for (int i = 0; i < 6; i++) begin
      step[i*8]        = retire_i[i];
      step[(6 + i)*8]  = flight_i[i];
      step[(12 + i)*8] = waiting_i[i];
    end
    step[18*8]      = array_active_i;
    step[19*8]      = ring_empty_i;
    step[20*8]      = ring_full_i;
    step[21*8]      = drain_stall_i;
    step[22*8 +: 8] = read_beats_i;
    step[23*8 +: 8] = write_beats_i;
    step[24*8]      = instruction_beat_i;
    step[25*8]      = meeting_wait_i;
  end

  for (genvar i = 0; i < Count; i++) begin : gen_counter
    always_ff @(posedge clk_i) begin
      if (rst_i) count_q[i*32 +: 32] <= '0;
      else if (running_i) count_q[i*32 +: 32] <= count_q[i*32 +: 32] + 32'(step[i*8 +: 8]);
    end
  end
  assign counters_o = count_q;

  logic [31:0] quiet_q;
  always_ff @(posedge clk_i) begin
    if (rst_i || !running_i || halt_i || retire_i != '0) quiet_q <= '0;
    else quiet_q <= quiet_q + 1'b1;
    error_o        <= !rst_i && quiet_q == cosyn_pkg::WatchdogCycles;
    error_detail_o <= {10'd0, waiting_i, 2'd0, flight_i, 2'd0, queued_i};
    error_class_o  <= cosyn_control_pkg::NoClass;
    for (int i = 5; i >= 0; i--) if (queued_i[i]) error_class_o <= 4'(i);
    for (int i = 5; i >= 0; i--) if (flight_i[i]) error_class_o <= 4'(i);
  end
endmodule
