// SPDX-License-Identifier: Apache-2.0
// Repeats its input `Cycles` enabled cycles later (at least 2), out of distributed memory.
module cosyn_delay_line #(
    parameter int Width  = 8,
    parameter int Cycles = 4
) (
    input  logic             clk_i,
    input  logic             rst_i,
    input  logic             en_i,
    input  logic [Width-1:0] data_i,
    output logic [Width-1:0] data_o
);
  // The output register is one of the cycles.
  localparam int Depth = Cycles - 1;
  localparam int PointerBits = Depth > 1 ? $clog2(Depth) : 1;

  (* ram_style = "distributed" *) logic [Width-1:0] memory_q[Depth];
  logic [PointerBits-1:0] pointer_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      data_o <= memory_q[pointer_q];
      memory_q[pointer_q] <= data_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) pointer_q <= '0;
    else if (en_i) pointer_q <= pointer_q == PointerBits'(Depth - 1) ? '0 : pointer_q + 1'b1;
  end
endmodule
