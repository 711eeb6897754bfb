// SPDX-License-Identifier: Apache-2.0
// A first-word-fall-through FIFO in distributed memory, for shallow queues.
// An entry is visible one cycle after it was accepted; one entry a cycle in and out, full or not.
// count_o is the number of entries held.
module cosyn_fifo #(
  parameter int Width = 8,
  parameter int Depth = 4,
  localparam int CountBits = $clog2(Depth + 1)
) (
  input  logic                 clk_i,
  input  logic                 rst_i,
  input  logic                 valid_i,
  output logic                 ready_o,
  input  logic [Width-1:0]     data_i,
  output logic                 valid_o,
  input  logic                 ready_i,
  output logic [Width-1:0]     data_o,
  output logic [CountBits-1:0] count_o
);
  localparam int PointerBits = Depth > 1 ? $clog2(Depth) : 1;
  localparam logic [PointerBits-1:0] Last = PointerBits'(Depth - 1);

  logic [Width-1:0]       memory [Depth];
  logic [PointerBits-1:0] write_q, read_q;
  logic [CountBits-1:0]   count_q;
  logic                   push, pop;

  assign ready_o = count_q != CountBits'(Depth);
  assign valid_o = count_q != '0;
  assign data_o  = memory[read_q];
  assign count_o = count_q;
  assign push    = valid_i && ready_o;
  assign pop     = valid_o && ready_i;

  always_ff @(posedge clk_i) begin
    if (push) memory[write_q] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q <= '0;
      read_q  <= '0;
      count_q <= '0;
    end else begin
      if (push) write_q <= write_q == Last ? '0 : write_q + 1'b1;
      if (pop) read_q <= read_q == Last ? '0 : read_q + 1'b1;
      if (push && !pop) count_q <= count_q + 1'b1;
      if (pop && !push) count_q <= count_q - 1'b1;
    end
  end

`ifndef SYNTHESIS
  logic             held_q;
  logic [Width-1:0] held_data_q;
  always_ff @(posedge clk_i) begin
    held_q      <= !rst_i && valid_o && !ready_i;
    held_data_q <= data_o;
    if (!rst_i) begin
      assert (32'(count_q) <= Depth) else $error("%m: more entries than the depth");
      if (held_q) assert (valid_o && data_o === held_data_q) else $error("%m: output changed before it was accepted");
    end
  end
`endif
endmodule
