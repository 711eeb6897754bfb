// SPDX-License-Identifier: Apache-2.0
// Holds operand b, c or d of a pass for all lanes: a number for the whole pass, a word for each row, or a line each.
// What arrives in a cycle is held from the next one on.
module cosyn_sfu_operand (
    input  logic                              clk_i,
    input  logic                              load_i,
    input  logic [                      31:0] initial_i,
    input  logic                              word_valid_i,
    input  logic [                      31:0] word_i,
    input  logic                              line_valid_i,
    input  logic [cosyn_pkg::LineBytes*8-1:0] line_i,
    output logic [cosyn_pkg::LineBytes*8-1:0] value_o
);
  always_ff @(posedge clk_i) begin
    if (load_i) value_o <= {cosyn_pkg::Lanes{initial_i}};
    else if (word_valid_i) value_o <= {cosyn_pkg::Lanes{word_i}};
    else if (line_valid_i) value_o <= line_i;
  end
endmodule
