// SPDX-License-Identifier: Apache-2.0
// Retirement of the store unit, in order: an instruction whose stripes are all with the channels waits here, and
// retires when every channel has had the responses up to its last burst. One a cycle; done_o the cycle after.
module cosyn_store_retire #(
  parameter int InFlight = 16   // instructions that wait here
) (
  input  logic                                  clk_i,
  input  logic                                  rst_i,
  input  logic                                  halt_i,
  // instructions whose stripes are with the channels
  input  logic                                  valid_i,
  output logic                                  ready_o,
  input  logic [31:0]                           digest_i,
  // bursts
  input  logic                                  burst_end_i,    // one more is with the channels
  input  logic [cosyn_pkg::ChannelsPerCore-1:0] response_i,     // one of its responses came
  input  logic [cosyn_pkg::ChannelsPerCore-1:0] error_i,        // nothing retires from then on
  output logic                                  all_retire_o,   // what retires is the last that was written
  output logic                                  done_o,
  output logic [31:0]                           digest_o
);
  localparam int Channels = cosyn_pkg::ChannelsPerCore;
  // Bursts are counted modulo a power of two. A channel that lags lacks at most Pending responses, and the others are
  // at most as far ahead of it.
  localparam int Pending = 2 * cosyn_pkg::BurstBeats + 8 + cosyn_pkg::OutstandingBursts + InFlight;
  localparam int CountBits = $clog2(2 * Pending + 1);
  localparam int FlightBits = $clog2(InFlight + 1);
  logic                  waiting, retire, failed_q;
  logic [CountBits-1:0]  bursts_q, last_burst;  // bursts up to the newest; up to the end of the next to retire
  logic [31:0]           digest;
  logic [Channels-1:0]   answered;              // all of those have their responses
  logic [FlightBits-1:0] unused_completions;

  cosyn_fifo #(.Width(CountBits + 32), .Depth(InFlight)) u_completions (
    .clk_i, .rst_i,
    .valid_i, .ready_o, .data_i({bursts_q, digest_i}),
    .valid_o(waiting), .ready_i(retire), .data_o({last_burst, digest}),
    .count_o(unused_completions)
  );

  for (genvar c = 0; c < Channels; c++) begin : gen_answered
    logic [CountBits-1:0] responses_q, missing;
    assign missing     = last_burst - responses_q;
    assign answered[c] = missing == '0 || missing[CountBits-1];
    always_ff @(posedge clk_i) begin
      if (rst_i) responses_q <= '0;
      else if (response_i[c]) responses_q <= responses_q + 1'b1;
    end
  end

  assign retire       = waiting && answered == '1 && error_i == '0 && !failed_q && !halt_i;
  assign all_retire_o = retire && last_burst == bursts_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      bursts_q <= '0;
      failed_q <= 1'b0;
      done_o   <= 1'b0;
    end else begin
      if (burst_end_i) bursts_q <= bursts_q + 1'b1;
      if (error_i != '0) failed_q <= 1'b1;
      done_o <= retire;
    end
    digest_o <= digest;
  end
endmodule
