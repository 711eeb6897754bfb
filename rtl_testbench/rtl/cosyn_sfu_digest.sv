// SPDX-License-Identifier: Apache-2.0
// The digest of a pass: of each row its lines, then its reduction, whatever the order in which they were written.
// Rotation is linear, so lines and reductions are gathered apart, each leaving room for the other. The digest is
// there two cycles after the last write.
module cosyn_sfu_digest (
    input  logic        clk_i,
    input  logic        load_i,
    input  logic [ 4:0] lines_i,         // element writes of a row, modulo 32
    input  logic        reduces_i,
    input  logic        element_i,       // an element write
    input  logic        row_end_i,       // the row's last
    input  logic [31:0] element_word_i,  // address xor folded data
    input  logic        result_i,        // a reduction write
    input  logic [31:0] result_word_i,
    output logic [31:0] digest_o
);
  logic element_q, row_end_q, result_q;
  logic [31:0] element_word_q, result_word_q, elements_q, results_q;
  logic [31:0] elements_next;
  logic [31:0] turned;
  logic [ 4:0] turn;

  assign elements_next = {elements_q[30:0], elements_q[31]} ^ element_word_q;
  assign turn = lines_i + 5'd1;
  assign turned = (results_q << turn) | (results_q >> (6'd32 - {1'b0, turn}));

  always_ff @(posedge clk_i) begin
    element_q <= element_i && !load_i;
    result_q <= result_i && !load_i;
    row_end_q <= row_end_i && reduces_i;
    if (element_i) element_word_q <= element_word_i;
    if (result_i) result_word_q <= result_word_i;
    if (load_i) begin
      elements_q <= 32'd0;
      results_q  <= 32'd0;
    end else begin
      if (element_q) elements_q <= row_end_q ? {elements_next[30:0], elements_next[31]} : elements_next;
      if (result_q) results_q <= turned ^ result_word_q;
    end
  end

  assign digest_o = elements_q ^ results_q;
endmodule
