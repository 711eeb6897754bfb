// SPDX-License-Identifier: Apache-2.0
// A delay of Delay cycles (at least 2), counted while en_i is high: a small circular memory, one write and one read a
// cycle, whatever the delay; distributed RAM.
module cosyn_delay #(
    parameter int Width = 8,
    parameter int Delay = 8,
    localparam int Slots = Delay - 1,  // the output register is one of the cycles
    localparam int SlotBits = Slots > 1 ? $clog2(Slots) : 1
) (
    input  logic             clk_i,
    input  logic             rst_i,
    input  logic             en_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);
  (* ram_style = "distributed" *) logic [Width-1:0] slot_q[0:Slots-1];
  logic [SlotBits-1:0] at_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) at_q <= '0;
    else if (en_i) at_q <= at_q == SlotBits'(Slots - 1) ? '0 : at_q + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      data_o       <= slot_q[at_q];
      slot_q[at_q] <= data_i;
    end
  end
endmodule
