// SPDX-License-Identifier: Apache-2.0
// Walks the addresses of rows of lines, or of one word per row. The address of the cycle is `address_o`; `step_i`
// moves to the next line or word, `row_end_i` to the first line of the next row, which is one stride on if
// `advance_i`. Bit 24 stays set once an address has passed 2^24, so that a range check still sees it.
module cosyn_sfu_address (
    input  logic        clk_i,
    input  logic        load_i,
    input  logic [23:0] first_i,
    input  logic [19:0] stride_i,
    input  logic        words_i,    // one word per row: row ends do not matter
    input  logic        step_i,
    input  logic        row_end_i,
    input  logic        advance_i,
    output logic [24:0] address_o
);
  logic [24:0] row_q, address_q;

  function automatic logic [24:0] plus(input logic [24:0] address, input logic [19:0] more);
    logic [24:0] sum;
    sum  = {1'b0, address[23:0]} + 25'(more);
    plus = {address[24] | sum[24], sum[23:0]};
  endfunction

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      row_q <= {1'b0, first_i};
      address_q <= {1'b0, first_i};
    end else if (row_end_i && !words_i) begin
      row_q <= advance_i ? plus(row_q, stride_i) : row_q;
      address_q <= advance_i ? plus(row_q, stride_i) : row_q;
    end else if (step_i) begin
      address_q <= plus(address_q, 20'd1);
    end
  end

  assign address_o = address_q;
endmodule
