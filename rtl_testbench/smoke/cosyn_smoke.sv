// SPDX-License-Identifier: Apache-2.0
// Adds what it is given while valid; shows that a simulator, its compiler and cocotb work together. One cycle.
module cosyn_smoke #(
    parameter int Width = 8
) (
    input  logic             clk_i,
    input  logic             rst_i,
    input  logic             valid_i,
    input  logic [Width-1:0] data_i,
    output logic [     15:0] sum_o,
    output logic [     15:0] lanes_o
);
  logic [15:0] sum_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) sum_q <= '0;
    else if (valid_i) sum_q <= sum_q + 16'(data_i);
  end

  assign sum_o   = sum_q;
  assign lanes_o = 16'(cosyn_pkg::Lanes);
endmodule
