// SPDX-License-Identifier: Apache-2.0
// A first-word-fall-through FIFO in block memory, for deep or wide buffers: the memory's output register holds the head.
// An entry is visible two cycles after it was accepted; one entry a cycle in and out once it flows.
// It holds Depth entries in memory and one more in the output register; count_o counts both.
module cosyn_fifo_ram #(
  parameter int Width = 8,
  parameter int Depth = 16,
  localparam int CountBits = $clog2(Depth + 2)
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

  (* ram_style = "block" *) logic [Width-1:0] memory [Depth];
  logic [PointerBits-1:0] write_q, read_q;
  logic [CountBits-1:0]   stored_q;
  logic                   valid_q;
  logic [Width-1:0]       data_q;
  logic                   push, fetch;

  assign ready_o = stored_q != CountBits'(Depth);
  assign push    = valid_i && ready_o;
  assign fetch   = stored_q != '0 && (!valid_q || ready_i);
  assign valid_o = valid_q;
  assign data_o  = data_q;
  assign count_o = stored_q + CountBits'(valid_q);

  always_ff @(posedge clk_i) begin
    if (push) memory[write_q] <= data_i;
    if (fetch) data_q <= memory[read_q];
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q  <= '0;
      read_q   <= '0;
      stored_q <= '0;
      valid_q  <= 1'b0;
    end else begin
      if (push) write_q <= write_q == Last ? '0 : write_q + 1'b1;
      if (fetch) read_q <= read_q == Last ? '0 : read_q + 1'b1;
      if (push && !fetch) stored_q <= stored_q + 1'b1;
      if (fetch && !push) stored_q <= stored_q - 1'b1;
      if (fetch) valid_q <= 1'b1;
      else if (ready_i) valid_q <= 1'b0;
    end
  end

`ifndef SYNTHESIS
  logic             held_q;
  logic [Width-1:0] held_data_q;
  always_ff @(posedge clk_i) begin
    held_q      <= !rst_i && valid_o && !ready_i;
    held_data_q <= data_o;
    if (!rst_i) begin
      assert (stored_q <= CountBits'(Depth)) else $error("%m: more entries than the depth");
      if (held_q) assert (valid_o && data_o === held_data_q) else $error("%m: output changed before it was accepted");
    end
  end
`endif
endmodule
